import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { rivalProgram } from './rivals.ts'

const run = promisify(execFile)

/** The PostgreSQL server of this machine; another is named by BENCH_POSTGRES_URL. */
export const POSTGRES_URL = process.env.BENCH_POSTGRES_URL ?? 'postgresql://postgres@127.0.0.1:5432'

/** Its version, `undefined` where it does not answer. */
export function postgresVersion(): Promise<string | undefined> {
  return postgres('version').catch(() => undefined)
}

/** A database of one's own, dropped when it is disposed of. */
export async function createDatabase(name: string): Promise<{ url: string } & AsyncDisposable> {
  await postgres('drop', name)
  await postgres('create', name)
  return {
    url: `${POSTGRES_URL}/${name}`,
    [Symbol.asyncDispose]: async () => void (await postgres('drop', name)),
  }
}

async function postgres(verb: string, ...args: string[]): Promise<string> {
  const { stdout } = await run(process.execPath, [rivalProgram('postgres'), POSTGRES_URL, verb, ...args])
  return stdout.trim()
}
