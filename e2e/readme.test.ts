import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { ensureCredential, ensureOwnerToken } from '@agentos/cli'
import { freePort, startSystem } from '@agentos/testing'
import { expect, it } from 'vitest'
import { Checkout } from './support/checkout.ts'

const ROOT = join(import.meta.dirname, '..')
const readme = readFileSync(join(ROOT, 'README.md'), 'utf8')

/** The README's code of this file, exactly as it stands there. */
function block(path: string): string {
  const found = new RegExp(`^\`\`\`ts ${path.replaceAll('.', '\\.')}\\n([\\s\\S]*?)^\`\`\`$`, 'm').exec(readme)
  if (!found) throw new Error(`The README has no code of ${path}`)
  return found[1]!
}

it('the worker of the README: new, changed as it says, and called', async () => {
  const checkout = await Checkout.create()
  try {
    await checkout.agentosFromSource('new', 'worker', 'weather')
    const files = ['workers/weather/src/contracts.ts', 'workers/weather/src/worker.ts']
    for (const file of files) writeFileSync(join(checkout.root, file), block(file))
    const manifest = join(checkout.root, 'workers/weather/iii.worker.yaml')
    writeFileSync(manifest, readFileSync(manifest, 'utf8').replace('weather::greet', 'weather::feels_like'))
    // What the author writes beyond imports and the frame that was there.
    const own = files
      .flatMap((file) => block(file).split('\n'))
      .filter((line) => line !== '' && !/^import|^if /.test(line))
    expect(own.length + 1).toBeLessThanOrEqual(20)

    expect((await checkout.node('scripts/build.ts')).err).toBe('')
    const running = await checkout.up()
    const http = await fetch(`${checkout.httpUrl}/v1/weather/feels-like?celsius=-5&windKmh=30`)
    const { celsius } = (await http.json()) as { celsius: number }
    expect(celsius).toBeCloseTo(-13, 0)
    const call = await checkout.agentos('call', 'weather::feels_like', 'celsius=-5', 'windKmh=30')
    expect(JSON.parse(call.out)).toEqual({ celsius })
    const functions = await fetch(`${checkout.httpUrl}/v1/engine/functions`)
    expect(await functions.text()).toContain('How cold the wind makes it feel')
    await running.stop()
  } finally {
    await checkout.destroy()
  }
})

it('the plain worker of the README registers, calls memory::recall, and answers', async () => {
  const system = await startSystem({ workers: ['memory'] })
  const checkout = await Checkout.create()
  await checkout.markInstalled()
  writeFileSync(join(checkout.root, 'analyst.ts'), block('analyst.ts'))
  // As npm runs it, with the file's name as the reader types it.
  const [, ...command] = /^npm run (node) -- (analyst\.ts)$/m.exec(readme)!
  const env = { ...checkout.env, III_URL: system.wsUrl }
  const analyst = spawn(process.execPath, ['scripts/start.mjs', ...command], { cwd: checkout.root, env })
  let said = ''
  for (const stream of [analyst.stdout, analyst.stderr]) stream.on('data', (text) => (said += text))
  const ended = once(analyst, 'exit')
  try {
    await system.api('POST', '/v1/memory', { content: 'The harbour closes at nine' })
    const caller = system.client()
    const ask = () =>
      caller.trigger({ function_id: 'analyst::summarize', payload: { topic: 'harbour' } }).catch((error) => error.code)
    const early = ended.then(([code]) => Promise.reject(new Error(`analyst.ts ended with ${code}: ${said}`)))
    const answered = expect.poll(ask, { timeout: 40_000, interval: 50 }).toEqual({ topic: 'harbour', known: 1 })
    await Promise.race([answered, early])
  } finally {
    analyst.kill()
    await ended
    await checkout.destroy()
    await system.stop()
  }
})

it('the shell loop of the README starts every built worker', async () => {
  const data = mkdtempSync(join(tmpdir(), 'agentos-loop-'))
  const names = readdirSync(join(ROOT, 'dist/workers'))
    .filter((name) => name.endsWith('.mjs'))
    .map((name) => basename(name, '.mjs'))
  ensureOwnerToken(data)
  for (const name of names) ensureCredential(data, name)
  const [http, worker] = [await freePort(), await freePort()]
  const env = {
    PATH: `${join(process.execPath, '..')}:${process.env.PATH}`,
    HOME: data,
    AGENTOS_DATA: data,
    AGENTOS_HTTP_PORT: String(http),
    AGENTOS_WORKER_PORT: String(worker),
    III_URL: `ws://127.0.0.1:${worker}`,
    AGENTOS_LOCAL_MODELS: 'off',
  }
  const loop = /^for w in .*$/m.exec(readme)![0]
  const engine = spawn(process.execPath, ['dist/engine.mjs'], { cwd: ROOT, env, stdio: 'ignore' })
  const shell = spawn('sh', ['-c', `${loop}; wait`], { cwd: ROOT, env, stdio: 'ignore', detached: true })
  try {
    // Those on demand, too: nobody lets them sleep where nobody supervises.
    const up = () =>
      fetch(`http://127.0.0.1:${http}/v1/engine/workers`)
        .then((response) => response.json() as Promise<{ workers: { name: string; status: string }[] }>)
        .then(({ workers }) => workers.filter(({ status }) => status === 'up'))
        .then((workers) => workers.map(({ name }) => name).sort())
        .catch(() => undefined)
    await expect.poll(up, { timeout: 40_000, interval: 50 }).toEqual(names.sort())
  } finally {
    const gone = Promise.all([once(shell, 'exit'), once(engine, 'exit')])
    process.kill(-shell.pid!, 'SIGTERM')
    engine.kill('SIGTERM')
    await gone
    rmSync(data, { recursive: true, force: true })
  }
})
