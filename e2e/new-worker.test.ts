import { appendFileSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { Checkout } from './support/checkout.ts'

const WAIT = { timeout: 40_000, interval: 20 }

describe('agentos new worker', () => {
  let checkout: Checkout

  beforeAll(async () => {
    checkout = await Checkout.create()
    const built = await checkout.node('scripts/build.ts')
    expect(built.err).toBe('')
  })

  afterAll(() => checkout.destroy())

  it('writes one that is callable on the bus, over HTTP and on the page as it stands', async () => {
    const written = await checkout.agentos('new', 'worker', 'weather')
    expect(written.out).toContain('workers/weather is written')
    expect((await checkout.node('scripts/build.ts')).err).toBe('')
    const running = await checkout.up()
    expect(running.output()).toContain('1 worker,')

    const call = await checkout.agentos('call', 'weather::greet', 'who=Ada')
    expect(JSON.parse(call.out)).toEqual({ text: 'Hello Ada, this is weather.' })
    const http = await fetch(`${checkout.httpUrl}/v1/weather/greet?who=Bo`)
    expect(await http.json()).toEqual({ text: 'Hello Bo, this is weather.' })
    // The page and OpenAPI are made from these.
    const functions = JSON.parse((await checkout.agentos('functions', 'weather', '--json')).out) as {
      id: string
      up: boolean
    }[]
    expect(functions).toMatchObject([{ id: 'weather::greet', up: true, request_format: { properties: { who: {} } } }])
    const api = (await (await fetch(`${checkout.httpUrl}/openapi.json`)).json()) as { paths: object }
    expect(api.paths).toHaveProperty('/v1/weather/greet')
    // Its contract is what is checked: an unknown field is refused in words.
    const wrong = await checkout.agentos('call', 'weather::greet', 'whom=Ada')
    expect(wrong.code).toBe(1)
    expect(wrong.err).toContain('whom')

    const status = JSON.parse((await checkout.agentos('status', '--json')).out)
    expect(status).toMatchObject({
      ready: true,
      workers: [
        { name: 'engine', state: 'up' },
        { name: 'weather', state: 'up', functions: 1 },
      ],
    })

    // As after a `git pull`: what runs is not replaced under its processes.
    const program = join(checkout.root, 'dist/agentos-main.mjs')
    const before = readFileSync(program, 'utf8')
    appendFileSync(join(checkout.root, 'packages/cli/src/paths.ts'), "process.stdout.write('newer')\n")
    const later = await checkout.node('scripts/start.mjs', 'cli', 'status')
    expect(later.code).toBe(0)
    expect(later.err).toContain('The sources have changed since the system was started')
    expect(later.err).toContain('npm run agentos -- stop')
    expect(readFileSync(program, 'utf8')).toBe(before)
    expect(await running.stop()).toBe(0)
    expect(readdirSync(join(checkout.root, 'dist/.cache/served'))).toEqual([])
  })

  it('writes tests that pass, and that fail where an output breaks its contract', async () => {
    const vitest = () => checkout.node('node_modules/vitest/vitest.mjs', 'run', 'workers/weather')
    expect(await vitest()).toMatchObject({ code: 0, out: expect.stringContaining('2 passed') })
    const worker = join(checkout.root, 'workers/weather/src/worker.ts')
    writeFileSync(worker, readFileSync(worker, 'utf8').replace('text: greetingFor(who)', 'txt: greetingFor(who)'))
    expect((await checkout.node('scripts/build.ts', 'weather')).err).toBe('')
    const { code, out, err } = await vitest()
    expect(code).toBe(1)
    expect(out + err).toContain('weather::greet returned what its contract does not allow')
  })
})

describe('agentos up --dev', () => {
  let checkout: Checkout

  beforeAll(async () => {
    checkout = await Checkout.create()
    expect((await checkout.node('scripts/build.ts')).err).toBe('')
  })

  afterAll(() => checkout.destroy())

  const greet = async (who: string) => {
    const response = await fetch(`${checkout.httpUrl}/v1/weather/greet?who=${who}`)
    return ((await response.json()) as { text?: string }).text
  }

  it('takes a new worker in while it runs, restarts it when it changes, and lets it go when it is deleted', async () => {
    const running = await checkout.up('--dev')
    await checkout.agentos('new', 'worker', 'weather')
    await vi.waitFor(async () => expect(await greet('Ada')).toBe('Hello Ada, this is weather.'), WAIT)

    const file = join(checkout.root, 'workers/weather/src/greeting.ts')
    writeFileSync(file, readFileSync(file, 'utf8').replace('Hello', 'Good day'))
    await vi.waitFor(async () => expect(await greet('Ada')).toBe('Good day Ada, this is weather.'), WAIT)

    // In development an output that breaks its contract is refused.
    const worker = join(checkout.root, 'workers/weather/src/worker.ts')
    const good = readFileSync(worker, 'utf8')
    writeFileSync(worker, good.replace('text: greetingFor(who)', 'txt: greetingFor(who)'))
    await vi.waitFor(async () => {
      const response = await fetch(`${checkout.httpUrl}/v1/weather/greet?who=Ada`)
      expect(await response.text()).toContain('weather::greet returned what its contract does not allow: text: ')
    }, WAIT)
    writeFileSync(worker, good)
    await vi.waitFor(async () => expect(await greet('Ada')).toBe('Good day Ada, this is weather.'), WAIT)

    const contracts = join(checkout.root, 'workers/weather/src/contracts.ts')
    writeFileSync(contracts, readFileSync(contracts, 'utf8').replace('/v1/weather/greet', '/v1/weather/hello'))
    await vi.waitFor(async () => {
      expect((await fetch(`${checkout.httpUrl}/v1/weather/hello?who=Ada`)).status).toBe(200)
    }, WAIT)

    rmSync(join(checkout.root, 'workers/weather'), { recursive: true })
    await vi.waitFor(() => expect(running.output()).toContain('weather is gone'), WAIT)
    expect(await running.stop()).toBe(0)
  })
})
