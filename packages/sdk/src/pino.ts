/**
 * A file of its own, to be imported late: pino is CommonJS, whose names a bundler finds by a static import only.
 */
export { pino } from 'pino'
