import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, vi } from 'vitest'
import {
  describeEnd,
  lastWords,
  ManagedProcess,
  messageOf,
  type ProcessEvent,
  type ProcessSpec,
} from './managed-process.ts'
import { commandOf, isAlive } from './process-table.ts'

/** On a machine that is busy with other things too. */
const LIMIT_MS = 20_000
const until = (holds: () => void) => vi.waitFor(holds, LIMIT_MS)

function managed(source: string, more: Partial<ProcessSpec> = {}) {
  const dir = mkdtempSync(join(tmpdir(), 'agentos-process-'))
  const script = join(dir, 'w.mjs')
  writeFileSync(script, source)
  const events: ProcessEvent[] = []
  const logPath = join(dir, 'w.jsonl')
  const spec = { name: 'w', script, nodeArgs: [], env: { ONLY: 'this' }, cwd: dir, logPath, ...more }
  return {
    events,
    script,
    log: () => readFileSync(logPath, 'utf8'),
    process: new ManagedProcess(spec, (e) => events.push(e)),
  }
}

it('is quoted whole, what it said last before what it said first, and where there is too much says where the rest is', () => {
  const refusal = `The settings cannot be used: ${'x'.repeat(700)}: there is a, b and c`
  expect(describeEnd(1, null, [`Error: ${refusal}`])).toBe(`exit code 1: Error: ${refusal}`)
  expect(lastWords(['first', 'x'.repeat(3_000), 'y'.repeat(900), 'z'])).toEqual([
    'first',
    'x'.repeat(3_000),
    'y'.repeat(900),
    'z',
  ])
  expect(lastWords(['old', 'ab', 'cde'], 4)).toEqual(['a… (its log has the rest)', 'cde'])
  expect(lastWords(['x'.repeat(9_000)])).toEqual([`${'x'.repeat(4_000)}… (its log has the rest)`])
})

describe('a managed process', () => {
  it('is restarted after a crash, and the reason says what it died of', async () => {
    const { process: w, events } = managed('throw new Error("no such model")')
    w.start()
    await until(() => expect(events.filter((e) => e.kind === 'spawned').length).toBeGreaterThan(1))
    await w.stop(1000)
    expect(events.find((e) => e.kind === 'crashed')).toMatchObject({
      reason: 'exit code 1: Error: no such model',
      delayMs: 200,
    })
    expect(w.state).toBe('stopped')
  })

  it('is held after five crashes in a minute', async () => {
    const { process: w, events } = managed('process.exit(3)')
    w.start()
    await until(() => expect(w.state).toBe('held'))
    expect(events.at(-1)).toEqual({ kind: 'held', reason: 'exit code 3', ends: 5 })
    expect(events.filter((e) => e.kind === 'spawned')).toHaveLength(5)
  }, 30_000)

  it('is tried again after it was held, where its spec says when', async () => {
    const { process: w, events, script } = managed('process.exit(3)', { retryHeldMs: 20 })
    w.start()
    await until(() => expect(events.filter((e) => e.kind === 'held').length).toBeGreaterThan(1))
    expect(events.find((e) => e.kind === 'held')).toEqual({ kind: 'held', reason: 'exit code 3', ends: 5, delayMs: 20 })
    writeFileSync(script, 'setInterval(() => {}, 1e3)')
    await until(() => expect(w.state).toBe('starting'))
    w.markUp()
    expect(w.retryAt).toBeUndefined()
    await w.stop(1000)
  }, 30_000)

  it('is not tried again after it was stopped while it was held', async () => {
    const { process: w, events } = managed('process.exit(3)', { retryHeldMs: 60_000 })
    w.start()
    await until(() => expect(w.state).toBe('held'))
    expect(w.retryAt).toBeGreaterThan(Date.now())
    await w.stop(1000)
    expect(w.retryAt).toBeUndefined()
    expect(events.filter((e) => e.kind === 'spawned')).toHaveLength(5)
  }, 30_000)

  it('gets its own environment and no other, and its output is its log', async () => {
    const { process: w, log } = managed(
      'console.log(JSON.stringify(process.env)); console.error("plain"); setInterval(() => {}, 1e3)',
    )
    w.start()
    await until(() => expect(log().split('\n')).toHaveLength(3))
    await w.stop(1000)
    expect(log()).toContain('{"ONLY":"this"}\n')
    expect(log()).toContain('"msg":"plain"')
  })

  it('that does not end when asked is ended, with what it started', async () => {
    const { process: w, log } = managed(
      `import { spawn } from 'node:child_process'
       process.on('SIGTERM', () => {})
       console.log(JSON.stringify({ msg: 'child', pid: spawn('sleep', ['60'], { stdio: 'ignore' }).pid }))
       setInterval(() => {}, 1e3)`,
    )
    w.start()
    await until(() => expect(log()).toContain('child'))
    const { pid } = w
    const grandchild = JSON.parse(log()).pid as number
    await w.stop(100)
    expect(isAlive(pid as number)).toBe(false)
    // Where nobody reaps it, the dead grandchild stays a zombie without a command line.
    await until(() => expect(commandOf(grandchild) ?? '').not.toContain('sleep'))
  })

  it('is started anew at once when its source changed, which is no crash', async () => {
    const { process: w, events } = managed('setInterval(() => {}, 1e3)')
    w.start()
    await until(() => expect(events).toHaveLength(1))
    const before = w.pid
    await w.restart(1000)
    expect(w.pid).not.toBe(before)
    expect(events.map((e) => e.kind)).toEqual(['spawned', 'spawned'])
    await w.stop(1000)
  })

  it('stays stopped when the order to stop comes during a restart', async () => {
    const { process: w, events } = managed('setInterval(() => {}, 1e3)')
    w.start()
    await until(() => expect(events).toHaveLength(1))
    const restarted = w.restart(1000)
    await Promise.all([w.stop(1000), restarted])
    expect(w.pid).toBeUndefined()
    expect(w.state).toBe('stopped')
    expect(events).toHaveLength(1)
  })

  it('that uses too much memory is restarted with that reason', async () => {
    const { process: w, events } = managed('setInterval(() => {}, 1e3)')
    w.start()
    await until(() => expect(events).toHaveLength(1))
    w.condemn('used 300 MB of 256 MB', 5000)
    await until(() => {
      expect(events).toContainEqual({ kind: 'crashed', reason: 'used 300 MB of 256 MB', delayMs: 200 })
    })
    await w.stop(1000)
  })
})

describe('reasons', () => {
  it('quote the error, not the stack below it', () => {
    const stack = ['file:///w.mjs:1', 'throw new Error("x")', 'Error: x', '    at w.mjs:1:7', '', 'Node.js v26.10.0']
    expect(describeEnd(1, null, stack)).toBe('exit code 1: Error: x')
    expect(describeEnd(null, 'SIGKILL', ['an error before'])).toBe('ended by SIGKILL')
  })

  it('name the line of the source: of one that cannot be read, and of one that threw', () => {
    const transform = [
      'Error: Transform failed with 1 error:',
      '/x/workers/w/src/worker.ts:5:10: ERROR: Expected "}" but found ";"',
      '    at failureErrorWithLog (/x/node_modules/esbuild/lib/main.js:1467:15)',
      "  name: 'TransformError'",
    ]
    expect(describeEnd(1, null, transform)).toBe(
      'exit code 1: /x/workers/w/src/worker.ts:5:10: Expected "}" but found ";"',
    )
    const thrown = [
      'ReferenceError: gone is not defined',
      '    at read (file:///x/node_modules/lib/index.ts:1:1)',
      '    at <anonymous> (file:///x/workers/w/src/worker.ts:7:3)',
    ]
    const end = 'exit code 1: ReferenceError: gone is not defined (/x/workers/w/src/worker.ts:7:3)'
    expect(describeEnd(1, null, thrown)).toBe(end)
    const stack = 'Error: no index\n    at start (/x/workers/w/src/worker.ts:9:3)'
    const logged = JSON.stringify({ level: 60, msg: 'the worker could not start', err: { message: 'no index', stack } })
    expect(describeEnd(1, null, [logged])).toBe(
      'exit code 1: the worker could not start: no index (/x/workers/w/src/worker.ts:9:3)',
    )
  })

  it('name the heap where that was it, not the native stack below', () => {
    const said = [
      'FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory',
      ' 2: 0x8410bd node::OOMErrorHandler',
    ]
    expect(describeEnd(null, 'SIGABRT', said)).toMatch(/^out of memory/)
  })

  it('read log lines as people do', () => {
    expect(messageOf('{"level":50,"msg":"cannot start","err":{"message":"port in use"}}')).toBe(
      'cannot start: port in use',
    )
  })
})
