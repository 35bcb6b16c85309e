import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'

/** Runs `agentos` in a data folder of its own, against an address where nothing listens. */
function agentos(args: string[], data = mkdtempSync(join(tmpdir(), 'agentos-cli-'))) {
  const main = join(import.meta.dirname, '../src/main.ts')
  const env = { ...process.env, AGENTOS_DATA: data, AGENTOS_API_URL: 'http://127.0.0.1:9', NO_COLOR: '1' }
  return new Promise<{ code: number; out: string; err: string }>((resolve) => {
    const child = execFile(process.execPath, [main, ...args], { env }, (_error, out, err) => {
      resolve({ code: child.exitCode ?? -1, out, err })
    })
  })
}

describe('the command line', () => {
  it('lists its commands', async () => {
    const { code, out } = await agentos(['--help'])
    expect(code).toBe(0)
    for (const name of ['up', 'status', 'stop', 'functions', 'call', 'chat', 'trace', 'new', 'open', 'token', 'logs']) {
      expect(out).toMatch(new RegExp(`^  ${name} `, 'm'))
    }
  })

  it('says which version this is', async () => {
    const { version } = JSON.parse(readFileSync(join(import.meta.dirname, '../../../package.json'), 'utf8'))
    expect(await agentos(['--version'])).toEqual({ code: 0, out: `agentos ${version}\n`, err: '' })
  })

  it('has nothing to stop where nothing runs', async () => {
    const { code, out } = await agentos(['stop'])
    expect(code).toBe(0)
    expect(out).toContain('Nothing runs on ')
  })

  it('tells a mistyped command from a failed one by its exit code', async () => {
    const { code, err } = await agentos(['statsu'])
    expect(code).toBe(2)
    expect(err).toContain('Did you mean status?')
    expect((await agentos(['call', 'a::b', '{broken'])).code).toBe(2)
  })

  it('says in words that nothing runs, with an exit code of its own', async () => {
    const { code, err } = await agentos(['functions'])
    expect(code).toBe(3)
    expect(err).toContain('AgentOS does not answer')
    expect(err).toContain('npm start')
  })

  it('says the same as JSON', async () => {
    const { code, err } = await agentos(['--json', 'traces'])
    expect(code).toBe(3)
    expect(JSON.parse(err)).toMatchObject({ error: { code: 'unreachable' } })
  })

  it('rotates the owner’s token', async () => {
    const data = mkdtempSync(join(tmpdir(), 'agentos-cli-'))
    const first = await agentos(['token', 'rotate', '--json'], data)
    const { file } = JSON.parse(first.out) as { file: string }
    const token = readFileSync(file, 'utf8')
    expect(statSync(file).mode & 0o777).toBe(0o600)
    await agentos(['token', 'rotate'], data)
    expect(readFileSync(file, 'utf8')).not.toBe(token)
    expect(first.out + first.err).not.toContain(token.trim())
  })

  it('shows the last lines of a log as people read them', async () => {
    const data = mkdtempSync(join(tmpdir(), 'agentos-cli-'))
    await agentos(['token', 'rotate'], data)
    const line = (msg: string) => `${JSON.stringify({ level: 30, time: 1_700_000_000_000, name: 'memory', msg })}\n`
    writeFileSync(join(data, 'logs/memory.jsonl'), line('one') + line('two') + line('three'))
    const { out } = await agentos(['logs', 'memory', '-n', '2'], data)
    expect(out).toMatch(/^\[2023-11-1\d \d\d:\d\d:\d\d\.000\] INFO.*memory.*two\n.*three\n$/)
    expect(out).not.toContain('one')
    const missing = await agentos(['logs', '../owner-token'], data)
    expect(missing.code).toBe(1)
    expect(missing.err).toContain('There are: memory')
  })
})
