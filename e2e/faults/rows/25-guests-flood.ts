import { Agent, request as httpRequest } from 'node:http'
import { type System, startOpenAiSimulator } from '@agentos/testing'
import type { Findings } from '../harness/findings.ts'
import { p99Of } from '../harness/observe.ts'
import type { Row, RowEnv } from '../harness/row.ts'
import { isTyped, until } from '../harness/waits.ts'
import { WirePeer } from '../harness/wire.ts'

const LIMIT_MS = 60_000
/** Of so many looks the least counts: others use the machine too. */
const SAMPLES = { full: { calls: 100, chats: 10, looks: 3 }, short: { calls: 30, chats: 3, looks: 3 } }
/** More than what a realm may have in flight, than the requests in service, and than the channels of a realm. */
const CALLS = 5_600
const REQUESTS = { full: 1_100, short: 300 }
const CHANNELS = { full: 10_000, short: 400 }
/** On each of four connections. */
const SCHEDULES = { full: 4_900, short: 50 }
const DESCRIPTION = 'x'.repeat(60_000)

/** What the owner does, each once; what it rejects with is a refusal. */
type Owner = Record<'call' | 'write' | 'channel' | 'chat', () => Promise<unknown>>
type Times = Record<keyof Owner, number>

interface Flood {
  name: string
  /** Resolves when all of it was sent and read; what the guests were refused with comes into the list. */
  start(system: System, guests: Guests): Promise<void>
  /** Nothing of it is refused, or nobody is told: it is taken more slowly. */
  waits?: true
}

/** Guests that take what they can get. */
class Guests {
  readonly refusals = new Map<string, number>()
  readonly peers: WirePeer[] = []
  private readonly url: string
  private readonly ends: (() => unknown)[] = []

  constructor(system: System) {
    this.url = system.wsUrl
  }

  async open(): Promise<WirePeer> {
    const peer = await WirePeer.open(this.url)
    this.peers.push(peer)
    return peer
  }

  refused(code: string, message = ''): void {
    const key = message.includes('agentos.guests.limits') ? `${code} with its setting` : code
    this.refusals.set(key, (this.refusals.get(key) ?? 0) + 1)
  }

  onEnd(run: () => unknown): void {
    this.ends.push(run)
  }

  leave(): void {
    for (const peer of this.peers.splice(0)) {
      for (const [answer] of peer.answers.values())
        if (answer?.error) this.refused(answer.error.code, answer.error.message)
      peer.terminate()
    }
    for (const end of this.ends) end()
  }
}

/**
 * Guests take all that they can get of everything. The owner's calls, writes, channels and chats are served as before; what
 * is refused to guests is refused with a typed error; and what they held is free as soon as they have gone.
 */
export const row: Row = {
  row: 25,
  title: 'guests flood',
  rounds: { full: 3, short: 1 },

  async run(env, findings) {
    const system = await start(env)
    const owner = await ownerOf(system)
    const times = () => measure(owner, findings, env.short ? SAMPLES.short : SAMPLES.full)
    // The first of each is slow by itself.
    await times()
    for (let round = 0; round < env.rounds; round += 1) {
      for (const flood of floodsOf(env)) await judge(flood, system, times, findings)
    }
  },
}

async function start(env: RowEnv): Promise<System> {
  const provider = await startOpenAiSimulator({ text: 'here' })
  env.cleanUp(() => provider.close())
  const providers = { sim: { baseUrl: provider.url, format: 'openai-chat', keyEnv: 'OPENAI_API_KEY' } }
  return env.system({
    workers: ['agent-core', 'llm-router', 'memory', 'security'],
    env: { AGENTOS_LOCAL_MODELS: 'off' },
    workerEnv: { 'llm-router': { OPENAI_API_KEY: provider.key } },
    config: { workers: [{ name: 'llm-router', config: { providers } }] },
  })
}

async function ownerOf(system: System): Promise<Owner> {
  const server = system.client({ owner: true })
  server.registerFunction('mine::echo', async (input: unknown) => input)
  const client = system.client({ owner: true })
  const call = () => client.trigger({ function_id: 'mine::echo', payload: { n: 1 } })
  await until(call, LIMIT_MS)
  return {
    call,
    write: () => client.state.set('mine', 'k', Date.now()),
    async channel() {
      const { writer } = await client.createChannel()
      await writer.close()
    },
    async chat() {
      const body = { message: 'Say something', model: 'sim/test-model' }
      const { status, text } = await system.api('POST', '/v1/chat', body, { owner: true })
      if (status !== 200) throw new Error(`a chat is answered ${status}: ${text.slice(0, 200)}`)
    },
  }
}

async function judge(flood: Flood, system: System, times: () => Promise<Times>, findings: Findings): Promise<void> {
  const before = await times()
  const guests = new Guests(system)
  try {
    await flood.start(system, guests)
    compare(findings, `beside ${flood.name}`, before, await times())
    // Everything of theirs ends in one moment, while the owner goes on.
    const left = performance.now()
    guests.leave()
    compare(findings, `after ${flood.name}`, before, await times())
    const isFree = await until(async () => (await held(system)).length === 0, LIMIT_MS, 20)
    if (isFree) findings.figure(`free again after ${flood.name}`, performance.now() - left, 'ms')
    else findings.hung(`after ${flood.name} guests still hold ${(await held(system)).join(', ')}`)
  } finally {
    guests.leave()
  }
  for (const [code, count] of guests.refusals) {
    findings.figure(`${flood.name}: refused with ${code}`, count, '')
    findings.expect(isTyped(code), `${flood.name}: a refusal without a type, ${code}`)
  }
  const named = [...guests.refusals.keys()].some((code) => code.endsWith('with its setting'))
  findings.expect(named || flood.waits === true, `${flood.name}: nothing was refused with the setting that bounds it`)
}

/** p99 of what the owner does, one after the other; nothing of it may be refused. */
async function measure(owner: Owner, findings: Findings, samples: typeof SAMPLES.full): Promise<Times> {
  const times = {} as Times
  for (const [what, run] of Object.entries(owner) as [keyof Owner, Owner[keyof Owner]][]) {
    const count = what === 'chat' || what === 'channel' ? samples.chats : samples.calls
    const one = async (): Promise<void> => {
      try {
        await run()
        findings.acknowledge()
      } catch (error) {
        findings.wrong(`a ${what} of the owner is refused: ${String(error)}`)
      }
    }
    times[what] = Number.POSITIVE_INFINITY
    for (let look = 0; look < samples.looks; look += 1) times[what] = Math.min(times[what], await p99Of(count, one))
  }
  return times
}

function compare(findings: Findings, where: string, before: Times, during: Times): void {
  for (const what of Object.keys(before) as (keyof Times)[]) {
    // Below some milliseconds the ratio is about the machine.
    const ratio = Math.max(10, during[what]) / Math.max(10, before[what])
    findings.figure(`p99 of the owner's ${what} ${where}`, ratio, '×', { goal: 2, gate: 6 })
  }
}

/** Bounds of which guests hold something; what they have stored stays. */
async function held(system: System): Promise<string[]> {
  const { text } = await system.api('GET', '/metrics')
  const rows = [...text.matchAll(/^agentos_guests_held\{bound="(\w+)"\} (\S+)$/gm)]
  return rows.flatMap(([, bound, count]) => (bound !== 'state_bytes' && Number(count) > 0 ? [`${count} ${bound}`] : []))
}

function floodsOf({ short }: RowEnv): Flood[] {
  const form = short ? 'short' : 'full'
  return [
    { name: 'hanging calls', start: hangingCalls },
    ...(short
      ? []
      : [{ name: 'void calls', start: (_: System, guests: Guests) => voidCalls(guests), waits: true as const }]),
    { name: 'open requests', start: (system, guests) => openRequests(system, guests, REQUESTS[form]) },
    { name: 'channels', start: (_, guests) => channels(guests, CHANNELS[form]) },
    { name: 'schedules', start: (_, guests) => schedules(guests, SCHEDULES[form]) },
    { name: 'descriptions', start: (_, guests) => descriptions(guests, short ? 200 : 2_500) },
    { name: 'connections', start: (_, guests) => connections(guests, short ? 1_100 : 20_000) },
  ]
}

async function hangingCalls(_system: System, guests: Guests): Promise<void> {
  const server = await guests.open()
  server.serve('theirs::hang', () => {})
  await server.flushed()
  // Of several sockets: one alone is held up by what it sends itself.
  const callers = await Promise.all(Array.from({ length: 4 }, () => guests.open()))
  for (let n = 0; n < CALLS; n += 1) void callers[n % callers.length]!.call('theirs::hang')
  await until(() => callers.some(({ answers }) => answers.size > 0), LIMIT_MS)
}

/** As many as can be sent while the owner works, to a function that answers at once. */
async function voidCalls(guests: Guests): Promise<void> {
  const server = await guests.open()
  server.serve('theirs::tick', (frame) => {
    if (frame.invocation_id !== undefined) server.answer(frame)
  })
  await server.flushed()
  const callers = await Promise.all(Array.from({ length: 4 }, () => guests.open()))
  const call = { type: 'invokefunction', function_id: 'theirs::tick', data: {}, action: { type: 'void' } }
  for (const caller of callers) {
    // The kernel's buffers and ours, so that there is always something to be read.
    const more = setInterval(() => {
      while (caller.socket.readyState === caller.socket.OPEN && caller.socket.bufferedAmount < 1_000_000) {
        caller.send(call)
      }
    }, 5)
    guests.onEnd(() => clearInterval(more))
  }
}

async function openRequests(system: System, guests: Guests, count: number): Promise<void> {
  const server = await guests.open()
  server.serve('theirs::hang', () => {})
  const config = { api_path: 'theirs/hang', http_method: 'GET' }
  server.send({ type: 'registertrigger', id: 'hang', trigger_type: 'http', function_id: 'theirs::hang', config })
  await server.flushed()
  const agent = new Agent({ keepAlive: true })
  guests.onEnd(() => agent.destroy())
  let refused = 0
  for (let n = 0; n < count; n += 1) {
    const request = httpRequest(`${system.httpUrl}/theirs/hang`, { agent }, async (response) => {
      let text = ''
      for await (const part of response) text += part
      const { code, detail } = JSON.parse(text) as { code: string; detail?: string }
      refused += 1
      const isUntyped = code === 'overloaded' && response.headers['retry-after'] === undefined
      guests.refused(isUntyped ? 'untyped' : code, detail)
    })
    request.on('error', () => {})
    guests.onEnd(() => request.destroy())
    request.end()
  }
  await until(() => refused > 0, LIMIT_MS)
}

async function channels(guests: Guests, count: number): Promise<void> {
  const peer = await guests.open()
  await Promise.all(Array.from({ length: count }, () => peer.call('engine::channels::create', {})))
}

/** Each due every second. */
async function schedules(guests: Guests, count: number): Promise<void> {
  const peers = await Promise.all(Array.from({ length: 4 }, () => guests.open()))
  for (const peer of peers) {
    tellRefusals(peer, guests)
    for (let n = 0; n < count; n += 1) {
      const config = { expression: '* * * * * *' }
      const id = `${peer.workerId} ${n}`
      peer.send({ type: 'registertrigger', id, trigger_type: 'cron', function_id: 'theirs::tick', config })
    }
  }
  await Promise.all(peers.map((peer) => peer.flushed()))
}

async function descriptions(guests: Guests, count: number): Promise<void> {
  const peer = await guests.open()
  tellRefusals(peer, guests)
  for (let n = 0; n < count; n += 1) {
    peer.send({ type: 'registerfunction', id: `theirs::f${n}`, description: DESCRIPTION })
  }
  await peer.flushed()
}

async function connections(guests: Guests, count: number): Promise<void> {
  for (let n = 0; n < count; n += 100) {
    const opened = await Promise.allSettled(Array.from({ length: 100 }, () => guests.open()))
    for (const result of opened) if (result.status === 'fulfilled') tellRefusals(result.value, guests)
  }
}

/** What is said beside the answers to calls: of registrations, and of a connection that is one too many. */
function tellRefusals(peer: WirePeer, guests: Guests): void {
  if (peer.greeting.type === 'error' && peer.greeting.error)
    guests.refused(peer.greeting.error.code, peer.greeting.error.message)
  peer.socket.on('message', (data) => {
    const { type, error } = JSON.parse(String(data)) as { type: string; error?: { code: string; message: string } }
    if (type.endsWith('registrationresult') && error) guests.refused(error.code, error.message)
  })
}
