import { execFile } from 'node:child_process'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { startEngine } from '@agentos/testing'
import { type ForeignClient, MissingToolchain } from './foreign-client.ts'
import { pythonClient } from './python-client.ts'
import { rustClient } from './rust-client.ts'

const run = promisify(execFile)
/** Kept beside other caches of this user: a client that has to be compiled takes minutes the first time. */
const cache = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'agentos-foreign-clients')

/** Lines that each program prints, in this order. */
const STEPS = [
  'registers',
  'is called, and calls',
  'keeps state',
  'answers over HTTP',
  'carries bytes through a channel',
  'enqueues',
]
const LIMIT_MS = 120_000
const CLIENTS: ForeignClient[] = [
  pythonClient('0.11.6', cache),
  pythonClient('0.25.0', cache),
  rustClient('0.25.0', cache),
]

/**
 * `npm run foreign-clients`: unmodified clients of the protocol in other languages against the engine. One whose
 * toolchain is missing is named and left out. The last line is "foreign clients: N passed, N failed".
 */
const counts = { passed: 0, failed: 0 }
for (const client of CLIENTS) {
  try {
    const program = await client.prepare()
    await using engine = await startEngine()
    const args = [...program.args, engine.wsUrl, engine.httpUrl, client.name.replaceAll(/\W/g, '_')]
    const { stdout } = await run(program.command, args, { timeout: LIMIT_MS, env: { ...process.env, ...program.env } })
    const done = stdout.trim().split('\n')
    const missing = STEPS.filter((step) => !done.includes(step))
    if (missing.length > 0) throw new Error(`it did not come to: ${missing.join(', ')}`)
    counts.passed += 1
    console.log(`✓ ${client.name}: ${done.join(', ')}`)
  } catch (error) {
    if (error instanceof MissingToolchain) {
      console.log(`- ${client.name} was not run: ${error.message}`)
      continue
    }
    counts.failed += 1
    console.log(`✗ ${client.name}: ${error instanceof Error ? error.message : String(error)}`)
  }
}
console.log(`foreign clients: ${counts.passed} passed, ${counts.failed} failed`)
process.exitCode = counts.failed > 0 ? 1 : 0
