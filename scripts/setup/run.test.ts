import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { CommandFailed, capture } from './run.mjs'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'run-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

/** A process that becomes the given program, as set-up does; what the program writes is read from its output. */
function becoming(program: string, service: boolean): { process: ChildProcess; said: () => string } {
  writeFileSync(join(folder, 'program.mjs'), program)
  const run = JSON.stringify(join(import.meta.dirname, 'run.mjs'))
  const starter = `import { takeOver } from ${run}; process.exitCode = await takeOver(process.execPath, ['program.mjs'], { service: ${service} })`
  const child = spawn(process.execPath, ['--input-type=module', '-e', starter], {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let output = ''
  child.stdout.on('data', (chunk) => {
    output += chunk
  })
  return { process: child, said: () => output }
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await delay(10)
}

const isThere = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

const COUNTS = `
  let heard = 0
  process.on('SIGINT', () => { heard += 1; console.log('heard ' + heard); if (heard === 1) setTimeout(() => process.exit(7), 600) })
  setInterval(() => {}, 1000)
  console.log('ready')
`

describe('a service that runs on behalf of set-up', () => {
  it('hears one interrupt for one press, though npm passes it on as well, and its exit code is the result', async () => {
    const { process: starter, said } = becoming(COUNTS, true)
    await until(() => said().includes('ready'))
    starter.kill('SIGINT')
    starter.kill('SIGINT')
    const [code] = await once(starter, 'close')
    expect(code).toBe(7)
    expect(said()).toContain('heard 1')
    expect(said()).not.toContain('heard 2')
  })

  it('hears a second press', async () => {
    // It ends at the second press, however late that is.
    const program = COUNTS.replace('heard === 1', 'heard === 2')
    const { process: starter, said } = becoming(program, true)
    await until(() => said().includes('ready'))
    starter.kill('SIGINT')
    await until(() => said().includes('heard 1'))
    await delay(300)
    starter.kill('SIGINT')
    await once(starter, 'close')
    expect(said()).toContain('heard 2')
  })

  it('learns that the one who asked for it was killed', async () => {
    const { process: starter, said } = becoming(
      "process.on('disconnect', () => process.exit()); console.log('pid ' + process.pid)",
      true,
    )
    await until(() => said().includes('\n'))
    const pid = Number(/pid (\d+)/.exec(said())?.[1])
    starter.kill('SIGKILL')
    await until(() => !isThere(pid))
  })
})

describe('a command', () => {
  it('passes its exit code on', async () => {
    const { process: starter } = becoming('process.exit(3)', false)
    expect((await once(starter, 'exit'))[0]).toBe(3)
  })

  it('that fails keeps what it said', async () => {
    const failure = await capture(process.execPath, ['-e', 'console.error("why"); process.exit(2)'], {
      cwd: folder,
    }).catch((error: unknown) => error)
    expect(failure).toBeInstanceOf(CommandFailed)
    expect(failure).toMatchObject({ code: 2, output: 'why' })
  })
})
