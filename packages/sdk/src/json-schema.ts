/**
 * A file of its own, to be imported late: a late import of `zod` itself would keep a bundler from leaving out the
 * nine tenths of zod that a worker does not use.
 */
export { toJSONSchema } from 'zod'
