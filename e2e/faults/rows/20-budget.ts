import { setTimeout as delay } from 'node:timers/promises'
import * as ledger from '@agentos/contracts/ledger'
import * as llm from '@agentos/contracts/llm-router'
import { type IIIClient, InvocationError } from '@agentos/sdk'
import { type RecordedRequest, type Simulator, type System, startOpenAiSimulator } from '@agentos/testing'
import type { Findings } from '../harness/findings.ts'
import type { Row, RowEnv } from '../harness/row.ts'
import { until } from '../harness/waits.ts'

const AGENTS = 20
const MODEL = 'bank/counted'
/** Micro-dollars per token. */
const PRICE = { input: 1, output: 2 }
const OUTPUT = 400
/** Four letters are a token. */
const TOKENS = 200_000
const CONTEXT = 'word '.repeat((TOKENS * 4) / 5)
/** What one call may hold: the router counts a token for three letters before it knows better. */
const RESERVATION = Math.ceil((CONTEXT.length / 3 + 100) * PRICE.input + OUTPUT * PRICE.output)

/** What the provider charged, whatever became of its answers. */
interface Bank {
  charged: number
}

/**
 * Twenty agents ask with contexts of 200,000 tokens until their one budget is used up, while ledger, router and engine are
 * killed in the middle of it. What is spent stays within the budget and one reservation, nearly all of it can be used, and
 * nothing stays held.
 */
export const row: Row = {
  row: 20,
  title: '20 agents on one budget, and a kill -9',
  rounds: { full: 5, short: 1 },

  async run(env, findings) {
    const calls = env.short ? 30 : 60
    const limit = calls * TOKENS
    const victims = env.short ? (['engine'] as const) : (['ledger', 'llm-router', 'engine', 'ledger'] as const)
    for (let round = 0; round < env.rounds; round += 1) await spendOne(env, limit, victims, findings)
  },
}

async function spendOne(
  env: RowEnv,
  limit: number,
  victims: readonly ('ledger' | 'llm-router' | 'engine')[],
  findings: Findings,
): Promise<void> {
  const limitMs = env.short ? 60_000 : 120_000
  const bank: Bank = { charged: 0 }
  let over = false
  const provider = await startOpenAiSimulator((request) => answer(request, bank))
  env.cleanUp(() => provider.close())
  const system = await start(env, provider)
  const owner = system.client({ owner: true })
  await owner.call(ledger.setBudget, { limitMicroUsd: limit, period: 'total' })
  const client = system.client({ owner: true })
  const spending = Promise.all(
    Array.from({ length: AGENTS }, (_, index) => spendAll(client, `agent-${index}`, () => over, findings)),
  )
  for (const [index, name] of victims.entries()) {
    // What the kills before cut off is booked and may not have been charged: all of the budget is never seen.
    const share = ((index + 1) / (victims.length + 1)) * 0.7 * limit
    if (!(await until(() => bank.charged > share, limitMs))) findings.hung(`spending, before the kill of ${name}`)
    const killed = name === 'engine' ? system.engine : system.workers[name]!
    await killed.kill()
    await killed.start()
  }
  const ended = await Promise.race([spending.then(() => true), delay(limitMs, false, { ref: false })])
  over = true
  if (!ended) findings.hung('the agents are not told that the budget is used up')
  await system.ready()
  await judge(owner, limit, bank, findings)
  await system.stop()
}

function answer({ body }: RecordedRequest, bank: Bank) {
  const input = Math.ceil(JSON.stringify(body.messages).length / 4)
  const output = Math.min(Number(body.max_tokens ?? OUTPUT), OUTPUT)
  bank.charged += input * PRICE.input + output * PRICE.output
  return { text: 'ok', usage: { input, output } }
}

function start(env: RowEnv, provider: Simulator): Promise<System> {
  return env.system({
    workers: ['llm-router', 'ledger'],
    env: { AGENTOS_LOCAL_MODELS: 'off' },
    workerEnv: { 'llm-router': { OPENAI_API_KEY: provider.key } },
    config: {
      agentos: { limits: { worker_wait_ms: 2_000 } },
      workers: [
        {
          name: 'llm-router',
          config: {
            providers: { bank: { baseUrl: provider.url, keyEnv: 'OPENAI_API_KEY' } },
            prices: { [MODEL]: PRICE },
            concurrency: { perProvider: AGENTS },
            retries: { max: 0 },
          },
        },
        { name: 'ledger', config: { leaseMs: 1_500, waitMs: 20_000 } },
      ],
    },
  })
}

/** Asks until the budget is used up; every other failure has to be a passing one. */
async function spendAll(client: IIIClient, agentId: string, isOver: () => boolean, findings: Findings): Promise<void> {
  while (!isOver()) {
    try {
      const messages = [{ role: 'user' as const, content: CONTEXT }]
      await client.call(llm.complete, { messages, model: MODEL, maxTokens: OUTPUT, agentId })
      findings.acknowledge()
    } catch (error) {
      if (!(error instanceof InvocationError)) throw error
      if (error.code === 'budget_exceeded' || isOver()) return
      findings.expect(error.retryable, `a call ended with ${error.message}`)
    }
  }
}

async function judge(owner: IIIClient, limit: number, { charged }: Bank, findings: Findings): Promise<void> {
  const { open, maybeCharged } = await owner.call(ledger.reservations, {})
  const { budgets } = await owner.call(ledger.budgets, {})
  const { spentMicroUsd: spent = 0, reservedMicroUsd: reserved = 0 } =
    budgets.find(({ agentId }) => agentId === null) ?? {}
  const share = (amount: number): string => `${((100 * amount) / limit).toFixed(1)} % of the budget`
  findings.expect(charged <= limit + RESERVATION, `the provider charged ${share(charged)}`)
  findings.expect(spent <= limit, `${share(spent)} is booked`)
  findings.expect(spent >= 0.95 * limit, `only ${share(spent)} could be used`)
  findings.expect(reserved === 0 && open.length === 0, `${share(reserved)} stays held by ${open.length} reservations`)
  if (spent < charged - RESERVATION) findings.lost(`${share(charged - spent)} was charged and is not booked`)
  const { valid, differences } = await owner.call(ledger.verify, {})
  findings.expect(valid, `the ledger is not the sum of its entries: ${differences.join('; ')}`)
  findings.note('a call that a kill cut off is booked as if it were charged: nobody saw its end')
  findings.figure('charged', (100 * charged) / limit, '% of the budget')
  findings.figure('booked', (100 * spent) / limit, '% of the budget', { goal: 100 })
  findings.figure('calls whose end nobody saw', maybeCharged.length, '')
}
