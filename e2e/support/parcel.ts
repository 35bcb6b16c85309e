import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { WorkerDescriptor } from '@agentos/protocol'
import type { FunctionContract } from '@agentos/sdk'
import { type System, type SystemOptions, startSystem } from '@agentos/testing'
import { block, look, pack } from './parcel-worker.ts'

const DIST = join(import.meta.dirname, '../../dist')

/** Holds up every parcel that is given its path, until it is opened. */
export interface ParcelGate {
  path: string
  open(): void
}

/** A system with the worker `parcel`, of which a second process can be started by hand. */
export interface ParcelSystem extends System {
  /** Starts a process as a shell loop does: with the credential of its file. Resolves when it serves. */
  second(): Promise<ChildProcess>
  /** Ids of the parcels that were begun, in order, with the process that did. */
  begun(): { id: string; pid: number }[]
  /** A closed one; each is opened when the system stops, so that no process has to wait for its work. */
  gate(): ParcelGate
  /** Processes of the worker that the engine knows. */
  processes(): Promise<WorkerRow[]>
}

export interface WorkerRow {
  pid: number
  connectedAt: number
  status: string
}

export async function startParcels(
  options: Omit<SystemOptions, 'workers'> & { workers?: string[] },
): Promise<ParcelSystem> {
  const folder = await mkdtemp(join(tmpdir(), 'agentos-parcel-'))
  const dist = join(folder, 'dist')
  const log = join(folder, 'parcels')
  await writeFile(log, '')
  await cp(DIST, dist, { recursive: true, filter: (path) => !path.endsWith('.map') })
  const described = join(dist, 'workers/parcel.json')
  const script = join(dist, 'workers/parcel.mjs')
  await writeFile(described, JSON.stringify(descriptor))
  const source = pathToFileURL(join(import.meta.dirname, 'parcel-worker.ts')).href
  await writeFile(
    script,
    `const { worker } = await import(${JSON.stringify(source)})\nawait worker.run({ descriptor: ${JSON.stringify(described)} })\n`,
  )
  const system = await startSystem({
    ...options,
    dist,
    workers: ['parcel', ...(options.workers ?? [])],
    workerEnv: { parcel: { PARCEL_LOG: log } },
  })
  const children: ChildProcess[] = []
  const gates: ParcelGate[] = []
  return {
    ...system,
    async second() {
      const child = spawn(process.execPath, [script], {
        env: { PARCEL_LOG: log, III_URL: system.wsUrl, AGENTOS_DATA: system.dataDir },
        stdio: ['ignore', 'ignore', 'pipe'],
      })
      children.push(child)
      await new Promise<void>((resolve, reject) => {
        let said = ''
        child.stderr!.setEncoding('utf8').on('data', (part: string) => {
          said += part
          if (said.includes('"msg":"serving"')) resolve()
        })
        child.once('close', () => reject(new Error(`the second process ended: ${said}`)))
      })
      return child
    },
    begun: () =>
      readFileSync(log, 'utf8')
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => line.split(' '))
        .map(([id = '', pid]) => ({ id, pid: Number(pid) })),
    gate() {
      const path = join(folder, `gate-${gates.length}`)
      const gate = { path, open: () => writeFileSync(path, '') }
      gates.push(gate)
      return gate
    },
    async processes() {
      const path = '/v1/engine/workers'
      const { body } = await system.api<{ workers: (WorkerRow & { name: string })[] }>('GET', path, undefined, {
        owner: true,
      })
      return body.workers.filter(({ name, status }) => name === 'parcel' && status === 'up')
    },
    async stop() {
      for (const gate of gates) gate.open()
      for (const child of children) {
        if (child.exitCode !== null || child.signalCode !== null) continue
        child.kill('SIGKILL')
        await once(child, 'exit')
      }
      await system.stop()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

const describe = ({ id, summary, effects, http }: FunctionContract): WorkerDescriptor['functions'][number] => ({
  id,
  summary,
  request_format: { type: 'object' },
  response_format: {},
  effects: effects === 'read' ? 'read' : 'external',
  idempotent: false,
  tool: false,
  access: 'guest',
  http:
    typeof http === 'string'
      ? [{ method: 'POST', path: http.split(' ')[1]!, status: 200, raw: false, stream: false }]
      : [],
})

const descriptor: WorkerDescriptor = {
  name: 'parcel',
  version: '0.1.0',
  description: 'Parcels of the tests of calls',
  start: 'always',
  instances: 2,
  memoryMb: 128,
  env: {},
  secrets: [],
  owns: { scopes: [], streams: [], topics: [] },
  systemScopes: [],
  entersRealms: false,
  dependencies: [],
  functions: [pack, look, block].map(describe),
  triggers: [],
}
