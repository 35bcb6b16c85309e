/** The store as it is built into the engine, for the recorder, the checker and the planted bugs. */
export { openRecords } from '../../../packages/engine/src/store/open-records.ts'
export { openSqliteStore } from '../../../packages/engine/src/store/sqlite-store.ts'
