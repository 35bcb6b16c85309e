import { setTimeout as delay } from 'node:timers/promises'
import * as llm from '@agentos/contracts/llm-router'
import type { IIIClient } from '@agentos/sdk'
import { type Fault, type Simulator, type System, startOpenAiSimulator } from '@agentos/testing'
import type { Findings } from '../harness/findings.ts'
import type { Row, RowEnv } from '../harness/row.ts'
import { type Ending, endingOf, isTyped } from '../harness/waits.ts'

const LIMIT_MS = 20_000
const BREAKER = { failures: 3, openMs: 400 }
const PRICE = { input: 1, output: 2 }
const TEXT = { first: 'one two three four five six seven eight', second: 'the other answer of the second one' }
const USAGE = { input: 100, output: 10 }

const FAULTS: readonly Fault[] = [
  { kind: 'status', status: 429, retryAfterSeconds: 0 },
  { kind: 'status', status: 500 },
  { kind: 'status', status: 529 },
  { kind: 'hang' },
  { kind: 'stall' },
  { kind: 'half' },
  { kind: 'reset' },
  { kind: 'bad-json' },
  { kind: 'long-line' },
  { kind: 'stream-error' },
]

/** Answers of each provider, for the comparison with the usage that was booked. */
interface Answered {
  first: number
  second: number
}

/**
 * The first of two providers fails in one way after the other, at whole answers and streamed ones; the second is the
 * fallback. Each call ends with a whole answer or a typed error, what was streamed is the answer and nothing twice, what
 * was answered is booked, and the breaker of the first opens and closes.
 */
export const row: Row = {
  row: 19,
  title: 'model provider: errors, silence, half answers',
  rounds: { full: 20, short: 1 },
  unit: 'rounds of all faults',

  async run(env, findings) {
    const first = await startOpenAiSimulator({ text: TEXT.first, usage: USAGE })
    const second = await startOpenAiSimulator({ text: TEXT.second, usage: USAGE })
    env.cleanUp(() => Promise.all([first.close(), second.close()]))
    const system = await start(env, first, second)
    const client = system.client()
    const answered: Answered = { first: 0, second: 0 }
    for (let round = 0; round < env.rounds; round += 1) {
      for (const fault of FAULTS) {
        for (const streamed of [false, true])
          await failOnce(client, { first, second, fault, streamed }, answered, findings)
      }
      await openBreaker(client, first, answered, findings)
    }
    await judgeUsage(client, answered, findings)
  },
}

function start(env: RowEnv, first: Simulator, second: Simulator): Promise<System> {
  const provider = ({ url }: Simulator) => ({ baseUrl: url, format: 'openai-chat', keyEnv: 'OPENAI_API_KEY' })
  return env.system({
    workers: ['llm-router'],
    env: { AGENTOS_LOCAL_MODELS: 'off' },
    workerEnv: { 'llm-router': { OPENAI_API_KEY: first.key } },
    config: {
      workers: [
        {
          name: 'llm-router',
          config: {
            providers: { first: provider(first), second: provider(second) },
            fallback: ['second/m'],
            prices: { 'first/m': PRICE, 'second/m': PRICE },
            retries: { max: 1, baseMs: 1 },
            breaker: BREAKER,
            timeouts: { firstByteMs: 300, idleMs: 300 },
          },
        },
      ],
    },
  })
}

const REQUEST = { messages: [{ role: 'user' as const, content: 'speak' }], model: 'first/m' }

interface Attempt {
  first: Simulator
  second: Simulator
  fault: Fault
  streamed: boolean
}

async function failOnce(client: IIIClient, attempt: Attempt, answered: Answered, findings: Findings): Promise<void> {
  const { first, second, fault, streamed } = attempt
  const name = `${fault.kind}${fault.kind === 'status' ? ` ${fault.status}` : ''}${streamed ? ', streamed' : ''}`
  await closeBreaker(client, first, answered)
  first.play({ text: TEXT.first, usage: USAGE, fault })
  second.play({ text: TEXT.second, usage: USAGE })
  const deltas: string[] = []
  const ending = await endingOf(streamed ? stream(client, deltas) : client.call(llm.complete, REQUEST), LIMIT_MS)
  findings.expect(first.requests.length > 0, `${name}: the first provider was not asked first`)
  judge(name, ending, streamed ? deltas.join('') : undefined, answered, findings)
}

async function stream(client: IIIClient, deltas: string[]): Promise<llm.Completion> {
  const { writerRef, reader } = await client.createChannel()
  const ended = new Promise<void>((resolve) => {
    reader.onMessage((text) => {
      const frame = JSON.parse(text) as llm.StreamFrame
      if (frame.type === 'text') deltas.push(frame.text)
      if (frame.type === 'usage') resolve()
    })
  })
  const answer = await client.call(llm.stream, { ...REQUEST, stream: { ...writerRef, direction: 'write' } })
  // Frames and the answer come by different sockets.
  await Promise.race([ended, delay(2_000)])
  return answer
}

function judge(
  name: string,
  ending: Ending<llm.Completion>,
  streamed: string | undefined,
  answered: Answered,
  findings: Findings,
): void {
  if ('hung' in ending) return findings.hung(`${name}: a model call`)
  if ('code' in ending) {
    findings.expect(isTyped(ending.code), `${name}: ended with ${String(ending.error)}`)
    findings.expect(TEXT.first.startsWith(streamed ?? ''), `${name}: before its error was streamed: ${streamed}`)
    return
  }
  const { provider, content } = ending.value
  answered[provider as keyof Answered] += 1
  findings.acknowledge()
  findings.expect(content === TEXT[provider as keyof Answered], `${name}: the answer of ${provider} is ${content}`)
  if (streamed === undefined || streamed === content) return
  if (streamed.length > content.length) findings.doubled(`${name}: streamed was ${streamed}`)
  else findings.lost(`${name}: streamed was only ${streamed}`)
}

/** As many failures as it takes: then the first is left alone, and asked again after a while. */
async function openBreaker(client: IIIClient, first: Simulator, answered: Answered, findings: Findings): Promise<void> {
  await closeBreaker(client, first, answered)
  first.play({ fault: { kind: 'status', status: 500 } })
  const ask = async (): Promise<string> => {
    const { provider } = await client.call(llm.complete, REQUEST)
    answered[provider as keyof Answered] += 1
    return provider
  }
  for (let n = 0; n < BREAKER.failures; n += 1) await ask()
  const before = first.requests.length
  const began = performance.now()
  findings.expect((await ask()) === 'second', 'with an open breaker the fallback does not answer')
  // On a machine that stands still for so long it may be half open already.
  if (performance.now() - began < BREAKER.openMs / 2) {
    findings.expect(first.requests.length === before, 'an open breaker lets a request through')
  }
  await closeBreaker(client, first, answered)
  // One answer may be too late on a machine that is busy with other things.
  const answers = [await ask(), await ask(), await ask()]
  findings.expect(answers.includes('first'), 'the breaker does not close again')
}

async function closeBreaker(client: IIIClient, first: Simulator, answered: Answered): Promise<void> {
  first.play({ text: TEXT.first, usage: USAGE })
  for (;;) {
    const { provider } = await client.call(llm.complete, REQUEST)
    answered[provider as keyof Answered] += 1
    if (provider === 'first') return
    await delay(BREAKER.openMs / 4)
  }
}

async function judgeUsage(client: IIIClient, answered: Answered, findings: Findings): Promise<void> {
  const { stats } = await client.call(llm.usage, {})
  for (const provider of ['first', 'second'] as const) {
    const booked = stats.filter((row) => row.provider === provider)
    const sum = (read: (row: (typeof stats)[number]) => number): number =>
      booked.reduce((all, row) => all + read(row), 0)
    const [requests, input] = [sum((row) => row.requests), sum((row) => row.input_tokens)]
    findings.figure(`answers of the ${provider}, booked`, requests, '')
    if (requests < answered[provider])
      findings.lost(`${answered[provider] - requests} answers of the ${provider} are not booked`)
    if (input < answered[provider] * USAGE.input) findings.lost(`${provider}: only ${input} tokens are booked`)
    if (requests > answered[provider])
      findings.note(`${requests - answered[provider]} answers of the ${provider} that were broken off are booked too`)
  }
}
