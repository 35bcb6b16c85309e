import { EngineError, type ErrorBody } from '@agentos/protocol'

const SQLITE = { corrupt: 11, tooBig: 18, constraint: 19, mismatch: 20, notADatabase: 26 }

/** Primary result code of an error of SQLite, where it is one (https://www.sqlite.org/rescode.html). */
function primaryCode(error: unknown): number | undefined {
  if (typeof error !== 'object' || error === null || !('errcode' in error)) return undefined
  return typeof error.errcode === 'number' ? error.errcode & 0xff : undefined
}

/** What a caller hears when the disk, or SQLite on its behalf, says no. */
export function diskError(error: unknown): ErrorBody {
  if (error instanceof EngineError) return error.toBody()
  const code = primaryCode(error)
  const text = error instanceof Error ? error.message : String(error)
  if (code === SQLITE.corrupt || code === SQLITE.notADatabase) {
    return { code: 'corrupt_record', message: `The store's file is damaged: ${text}` }
  }
  if (isOfOneBatch(error)) return { code: 'VALUE_TOO_LARGE', message: `The store cannot hold the value: ${text}` }
  return { code: 'store_unavailable', message: `The store could not reach its disk: ${text}` }
}

/** Whether the error lies in what one batch wants to write, so that the others of its group may go on without it. */
export function isOfOneBatch(error: unknown): boolean {
  const code = primaryCode(error)
  return code === SQLITE.tooBig || code === SQLITE.constraint || code === SQLITE.mismatch
}
