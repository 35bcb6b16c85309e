import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { WorkerDescriptor } from '@agentos/protocol'
import type { SupervisorStatus } from '../src/supervisor/status-file.ts'

/** Answers what the supervisor asks; notes when it was told to stop. Workers say hello on its worker port. */
const ENGINE = `
import { createServer } from 'node:http'
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs'
const config = readFileSync(process.env.AGENTOS_CONFIG, 'utf8')
const [, http, manager] = /(\\d+)[^]*?(\\d+)/.exec(config)
const settings = JSON.parse(/# settings (.*)/.exec(config)?.[1] ?? '{}')
writeFileSync(process.env.AGENTOS_DATA + '/greeting', process.env.GREETING ?? '')
const workers = new Map()
const alive = (pid) => { try { process.kill(pid, 0); return true } catch { return false } }
createServer((request, response) => {
  const [name, pid] = new URL(request.url, 'http://x').pathname.slice(1).split('/')
  workers.set(Number(pid), name)
  process.send({ type: 'connected', pid: Number(pid) })
  response.end()
}).listen(Number(manager), '127.0.0.1')
createServer((request, response) => {
  const rows = [...workers].filter(([pid]) => alive(pid)).map(([pid, name]) => ({ name, pid, status: 'up', functions: [], inFlight: 0 }))
  // Orders to the supervisor, as the engine would give them: /order/needed/memory
  const [, order, type, worker] = request.url.split('/')
  if (order === 'order') process.send({ type, worker })
  let body = ''
  request.on('data', (chunk) => { body += chunk }).on('end', () => {
    const { functionId, payload } = body === '' ? {} : JSON.parse(body)
    if (functionId === 'engine::workers::restart') process.send({ type: 'restart', worker: payload.name })
  })
  const answers = {
    [request.url]: order === 'order' ? {} : undefined, '/health': {}, '/v1/engine/ready': {}, '/v1/functions/call': {}, '/v1/engine/workers': { workers: rows }, '/v1/engine/functions': { functions: [{}, {}] },
    '/v1/auth/code': { code: 'c0de', url: 'http://127.0.0.1:' + http + '/#code=c0de' },
    '/v1/llm/providers': { providers: [], default: { provider: 'demo', model: 'rules', reason: '' } },
  }
  const answer = answers[request.url]
  response.writeHead(answer ? 200 : 404, { 'content-type': 'application/json' }).end(JSON.stringify(answer ?? {}))
}).listen(Number(http), '127.0.0.1', () => process.send({ type: 'up', settings, notice: /# notice (.*)/.exec(config)?.[1] }))
process.on('message', ({ type, states, fingerprints }) => {
  if (type === 'workers') writeFileSync(process.env.AGENTOS_DATA + '/states', JSON.stringify(states))
  else writeFileSync(process.env.AGENTOS_DATA + '/fingerprints', JSON.stringify({ fingerprints, env: process.env }))
})
process.on('SIGTERM', () => { note('engine told'); setTimeout(() => { note('engine gone'); process.exit() }, 100) })
const note = (text) => appendFileSync(process.env.AGENTOS_DATA + '/order', text + '\\n')
`

const WORKER = `
import { appendFileSync } from 'node:fs'
const name = process.argv[1].replace(/.*\\/(.*)\\.mjs/, '$1')
await fetch(process.env.III_URL.replace('ws', 'http') + '/' + name + '/' + process.pid)
process.on('SIGTERM', () => { appendFileSync(process.env.AGENTOS_DATA + '/order', name + ' told\\n'); process.exit() })
setInterval(() => {}, 1000)
`

/** A built installation whose engine and workers are a few lines each, and the supervisor as a process on top. */
export class FakeInstallation {
  readonly home: string
  readonly data: string
  readonly httpPort: number
  output = ''
  private readonly children: ChildProcess[] = []

  private constructor(home: string, httpPort: number) {
    this.home = home
    this.data = join(home, 'data')
    this.httpPort = httpPort
  }

  static async create(
    workers: Record<string, string | undefined>,
    engine = ENGINE,
    manifest: Partial<WorkerDescriptor> = {},
  ): Promise<FakeInstallation> {
    const home = mkdtempSync(join(tmpdir(), 'agentos-up-'))
    const [http, manager] = [await freePort(), await freePort()]
    const installation = new FakeInstallation(home, http)
    installation.write(
      'config.yaml',
      `workers:\n  - { name: iii-http, config: { port: ${http} } }\n  - { name: iii-worker-manager, config: { port: ${manager} } }\n`,
    )
    installation.write('dist/engine.mjs', engine)
    for (const [name, source] of Object.entries(workers)) {
      installation.write(`dist/workers/${name}.mjs`, source ?? WORKER)
      installation.write(`dist/workers/${name}.json`, JSON.stringify({ ...descriptor(name), ...manifest }))
    }
    // As a script, so that signals and exit codes are those of a process of its own.
    const paths = {
      home,
      root: home,
      config: join(home, 'config.yaml'),
      data: installation.data,
      dist: join(home, 'dist'),
      workers: join(home, 'workers'),
    }
    const source = (file: string) => join(import.meta.dirname, '../src', file)
    installation.write(
      'up.ts',
      `import { printError } from ${JSON.stringify(source('output.ts'))}
import { up } from ${JSON.stringify(source('supervisor/up.ts'))}
try { process.exitCode = await up(${JSON.stringify(paths)}, { dev: false, retryHeldMs: Number(process.env.RETRY_HELD_MS) }) } catch (error) { printError(error, false); process.exitCode = 1 }
`,
    )
    return installation
  }

  write(file: string, text: string): void {
    mkdirSync(dirname(join(this.home, file)), { recursive: true })
    writeFileSync(join(this.home, file), text)
  }

  read(file: string): string {
    try {
      return readFileSync(join(this.data, file), 'utf8')
    } catch {
      return ''
    }
  }

  status(): SupervisorStatus {
    return JSON.parse(this.read('supervisor.json')) as SupervisorStatus
  }

  /** Lets the engine tell the supervisor something about a worker. */
  async order(type: 'needed' | 'idle' | 'restart', worker: string): Promise<void> {
    await fetch(`http://127.0.0.1:${this.httpPort}/order/${type}/${worker}`)
  }

  /** A process that is not the supervisor's. */
  spawnScript(file: string): number {
    const env = { III_URL: 'ws://127.0.0.1:9', AGENTOS_DATA: this.data }
    return this.spawnSource(`setInterval(() => {}, 1000) // ${join(this.home, file)}`, env)
  }

  spawnSource(source: string, env: Record<string, string> = {}): number {
    const child = spawn(process.execPath, ['-e', source], { env, stdio: 'ignore' })
    this.children.push(child)
    return child.pid as number
  }

  /** Starts the supervisor, which tries a held engine again after `retryHeldMs`. Resolves with its exit code when it ends. */
  up(retryHeldMs = 1_000): { child: ChildProcess; exit: Promise<number | null> } {
    const child = spawn(process.execPath, [join(this.home, 'up.ts')], {
      env: { ...process.env, HOST_SECRET: 'of the host', RETRY_HELD_MS: String(retryHeldMs) },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.children.push(child)
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        this.output += text
      })
    }
    return { child, exit: new Promise((resolve) => child.once('exit', resolve)) }
  }

  /** A command of ours in this installation, with what it wrote. */
  agentos(...args: string[]): Promise<{ code: number | null; text: string }> {
    const main = join(import.meta.dirname, '../src/main.ts')
    const env = { ...process.env, AGENTOS_ROOT: this.home, AGENTOS_DATA: this.data, NO_COLOR: '1' }
    return new Promise((resolve) => {
      const child = execFile(process.execPath, [main, ...args], { env }, (_error, out, err) =>
        resolve({ code: child.exitCode, text: out + err }),
      )
    })
  }

  /** For the end of a test, whatever became of it. */
  destroy(): void {
    for (const child of this.children) child.kill('SIGKILL')
    const left = this.read('pids.json')
    for (const { pid } of left ? (JSON.parse(left) as { pid: number }[]) : []) {
      try {
        process.kill(pid, 'SIGKILL')
      } catch {
        // Gone, as it should be.
      }
    }
    rmSync(this.home, { recursive: true, force: true, maxRetries: 5 })
  }
}

function descriptor(name: string): WorkerDescriptor {
  return {
    name,
    version: '0.1.0',
    description: '',
    start: 'always',
    instances: 1,
    memoryMb: 128,
    env: {},
    secrets: [],
    owns: { scopes: [], streams: [], topics: [] },
    systemScopes: [],
    entersRealms: false,
    dependencies: [],
    functions: [],
    triggers: [],
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo
      server.close(() => resolve(port))
    })
  })
}
