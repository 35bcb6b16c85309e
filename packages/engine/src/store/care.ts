/** The care of a store that is not running: for the command line. */
export type { BackupManifest } from './backup.ts'
export { type Examination, examine, type Repair, repair } from './damage.ts'
export type { Damage } from './integrity.ts'
export { type Restored, restoreBackup } from './restore.ts'
