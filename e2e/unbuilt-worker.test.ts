import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { Checkout } from './support/checkout.ts'

const TRIGGER = 'functions:\n  - weather::greet\ntriggers:\n  - type: cron\n    function: weather::greet\n    config: '
const WAIT = { timeout: 40_000, interval: 20 }

const file = (checkout: Checkout, path: string) => join(checkout.root, 'workers/weather', path)
/** Changes a file of the worker; returns how to put it back. */
function change(checkout: Checkout, path: string, from: string, to: string): () => void {
  const before = readFileSync(file(checkout, path), 'utf8')
  if (!before.includes(from)) throw new Error(`${path} has no ${from}`)
  writeFileSync(file(checkout, path), before.replace(from, to))
  return () => writeFileSync(file(checkout, path), before)
}
const greet = async (checkout: Checkout, worker = 'weather') => {
  const response = await fetch(`${checkout.httpUrl}/v1/${worker}/greet?who=Ada`)
  return ((await response.json()) as { text?: string }).text
}

describe('a build', () => {
  let checkout: Checkout

  beforeAll(async () => {
    checkout = await Checkout.create()
    for (const name of ['weather', 'tides']) await checkout.agentosFromSource('new', 'worker', name)
    expect((await checkout.node('scripts/build.ts', 'weather', 'tides')).err).toBe('')
  })
  afterAll(() => checkout.destroy())

  it.each([
    [
      'a source that cannot be read',
      'src/worker.ts',
      'defineWorker({',
      'defineWorker({{',
      /^ {2}workers\/weather\/src\/worker\.ts:\d+:\d+: Expected/m,
    ],
    [
      'a contract that throws',
      'src/contracts.ts',
      "from 'zod'",
      "from 'zod'\n\nnothing()",
      /^ {2}workers\/weather\/src\/contracts\.ts:4:1: nothing is not defined/m,
    ],
    [
      'a misspelt key of a contract',
      'src/contracts.ts',
      'effects:',
      'efects:',
      /^ {2}workers\/weather\/src\/contracts\.ts:4:22: weather::greet has no efects; there is id, /m,
    ],
    [
      'a misspelt type',
      'iii.worker.yaml',
      'functions:\n  - weather::greet\n',
      `${TRIGGER.replace('cron', 'subscirbe')}{ topic: x }\n`,
      /^ {2}workers\/weather\/iii\.worker\.yaml:11:5: nothing provides the trigger type subscirbe; those of the engine are cron, /m,
    ],
    [
      'a misspelt topic',
      'iii.worker.yaml',
      'functions:\n  - weather::greet\n',
      `${TRIGGER.replace('cron', 'subscribe')}{ topik: x }\n`,
      /^ {2}workers\/weather\/iii\.worker\.yaml:13:15: subscribe has no topik; there is topic/m,
    ],
    [
      'a route that is another’s',
      'src/contracts.ts',
      '/v1/weather/greet',
      '/v1/tides/greet',
      /^ {2}workers\/weather\/src\/contracts\.ts:9:10: GET \/v1\/tides\/greet conflicts/m,
    ],
  ])('names file, line and column of %s, and builds the rest', async (_, path, from, to, said) => {
    const restore = change(checkout, path, from, to)
    try {
      const { code, err } = await checkout.node('scripts/build.ts', 'weather', 'tides')
      expect(err).toMatch(said)
      expect(err).not.toContain('the worker tides')
      expect(code).toBe(3)
      expect(existsSync(join(checkout.root, 'dist/workers/tides.mjs'))).toBe(true)
    } finally {
      restore()
    }
  })
})

describe('a worker that does not build', () => {
  let checkout: Checkout

  beforeAll(async () => {
    checkout = await Checkout.create()
    for (const name of ['weather', 'tides']) await checkout.agentosFromSource('new', 'worker', name)
    expect((await checkout.node('scripts/build.ts')).err).toBe('')
    await checkout.markInstalled()
  })
  afterAll(() => checkout.destroy())

  it('keeps no command from working, and the others and what was built of it before run', async () => {
    const restore = change(checkout, 'src/worker.ts', 'defineWorker({', 'defineWorker({{')
    expect((await checkout.node('scripts/build.ts')).code).toBe(3)
    const running = await checkout.up()
    expect(await greet(checkout, 'tides')).toBe('Hello Ada, this is tides.')
    expect(await greet(checkout)).toBe('Hello Ada, this is weather.')
    // As a person calls it: set-up comes first.
    const status = await checkout.node('scripts/start.mjs', 'cli', 'status')
    expect(status.out).toMatch(/weather +up/)
    expect(status.out).toMatch(
      /! weather: does not build; what was built before runs:\n +workers\/weather\/src\/worker\.ts:\d+:\d+: /,
    )
    for (const command of [
      ['logs', 'engine'],
      ['backup', join(checkout.root, 'copy.backup')],
    ]) {
      const { code, err } = await checkout.node('scripts/start.mjs', 'cli', ...command)
      expect([code, err]).toEqual([0, expect.stringMatching(/^The sources have changed since .*\n$/)])
    }
    await running.stop()
    restore()
  })

  it('of which there is nothing else to run is down, and said to be', async () => {
    const restore = change(checkout, 'src/worker.ts', 'defineWorker({', 'defineWorker({{')
    for (const kind of ['json', 'mjs']) rmSync(join(checkout.root, `dist/workers/weather.${kind}`))
    const running = await checkout.up()
    expect(running.output()).toContain('1 of 2 workers')
    expect(running.output()).toMatch(/weather is unbuilt: workers\/weather\/src\/worker\.ts:\d+:\d+: /)
    expect(await greet(checkout, 'tides')).toBe('Hello Ada, this is tides.')
    const status = await checkout.agentos('status', '--json')
    expect(status.code).toBe(1)
    expect(JSON.parse(status.out).workers).toContainEqual(
      expect.objectContaining({ name: 'weather', state: 'unbuilt' }),
    )
    await running.stop()
    restore()
  })
})

describe('what only the engine knows of a manifest', () => {
  let checkout: Checkout

  beforeAll(async () => {
    checkout = await Checkout.create()
    await checkout.agentosFromSource('new', 'worker', 'weather')
    change(checkout, 'iii.worker.yaml', 'functions:\n  - weather::greet\n', `${TRIGGER}{ expression: '@daily' }\n`)
    const config = join(checkout.root, 'config.yaml')
    writeFileSync(config, readFileSync(config, 'utf8').replace('  - name: iii-cron\n', ''))
    expect((await checkout.node('scripts/build.ts')).err).toBe('')
  })
  afterAll(() => checkout.destroy())

  it('is told in the terminal, in status and in the log of the worker', async () => {
    const running = await checkout.up()
    const problem =
      'the cron trigger of weather::greet does not stand: nothing provides the trigger type cron: config.yaml does not list iii-cron'
    expect(running.output()).toContain(`weather: ${problem}`)
    expect((await checkout.agentos('status')).out).toContain(`! weather: ${problem}`)
    expect((await checkout.agentos('logs', 'weather')).out).toMatch(/WARN.*weather\/cron\/0.*does not list iii-cron/)
    expect(await running.stop()).toBe(0)
  })
})

describe('npm run dev', () => {
  let checkout: Checkout

  beforeAll(async () => {
    checkout = await Checkout.create()
    expect((await checkout.node('scripts/build.ts')).err).toBe('')
  })
  afterAll(() => checkout.destroy())

  it('says once what does not build and where, keeps what runs, and says when it builds again', async () => {
    const running = await checkout.up('--dev')
    await checkout.agentos('new', 'worker', 'weather')
    await vi.waitFor(async () => expect(await greet(checkout)).toBe('Hello Ada, this is weather.'), WAIT)
    const said = (text: string) => running.output().split(text).length - 1

    const restoreWorker = change(checkout, 'src/worker.ts', 'defineWorker({', 'defineWorker({{')
    await vi.waitFor(() => expect(said('weather does not build; what runs of it goes on')).toBe(1), WAIT)
    expect(running.output()).toMatch(/ {4}workers\/weather\/src\/worker\.ts:\d+:\d+: /)
    // Saved again as it is.
    const worker = file(checkout, 'src/worker.ts')
    writeFileSync(worker, readFileSync(worker))
    restoreWorker()
    await vi.waitFor(() => expect(said('weather builds again')).toBe(1), WAIT)
    expect(said('weather does not build')).toBe(1)
    // The one that was restarted has read its sources.
    await vi.waitFor(() => expect(said('weather is up')).toBe(2), WAIT)

    const restoreContract = change(checkout, 'src/contracts.ts', 'summary:', 'summary::')
    await vi.waitFor(() => expect(running.output()).toMatch(/ {4}workers\/weather\/src\/contracts\.ts:\d+:\d+: /), WAIT)
    expect(await greet(checkout)).toBe('Hello Ada, this is weather.')
    const status = await checkout.agentos('status')
    expect(status.out).toMatch(/weather +up/)
    expect(status.out).toMatch(/! weather: does not build/)
    restoreContract()
    await vi.waitFor(() => expect(said('weather builds again')).toBe(2), WAIT)
    await vi.waitFor(async () => expect((await checkout.agentos('status')).out).not.toContain('! weather'), WAIT)
    expect(running.output()).not.toContain('weather ended')

    expect(await running.stop()).toBe(0)
  })
})
