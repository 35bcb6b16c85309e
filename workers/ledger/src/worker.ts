import * as contract from '@agentos/contracts/ledger'
import { AgentError, defineWorker, isPassing, serve, TriggerAction, type WorkerSelf } from '@agentos/sdk'
import * as z from 'zod'
import { Alarms } from './alarms.ts'
import type { Alert } from './alerts.ts'
import { changedBudget, deletedBudget } from './budgets.ts'
import { guestBudget } from './guest-budget.ts'
import { Journal } from './journal.ts'
import { Ledger } from './ledger.ts'
import { spendKey } from './spend-key.ts'
import { assertWorker, idsOf, realmOf, subjectOf } from './subject.ts'
import { budgetView, cents, checkBudgets, listBudgets, listReservations, summarize } from './views.ts'
import { WATCH_MS, Watches } from './watches.ts'

/** `config:` of the worker's entry in config.yaml. */
const Settings = z.strictObject({
  /** How long a reservation lives when its holder is silent; then it counts as charged. */
  leaseMs: z.number().int().min(500).max(600_000).default(30_000),
  /** How long a call waits for money that others hold. */
  waitMs: z.number().int().min(0).max(600_000).default(60_000),
  /** What the models of all guests may cost a day where the owner set no budget for their realm; null lifts it. */
  guestBudgetCentsPerDay: z.number().int().min(0).max(1_000_000_000).nullable().default(500),
})

/** How long an alert may take to be told. */
const TELL_MS = 5_000

let opened: { ledger: Ledger; leaseMs: number; timer: NodeJS.Timeout } | undefined
const watches = new Watches()

export const worker = defineWorker({
  name: 'ledger',
  settings: Settings,
  start: async (self) => {
    const { state, log, config } = self
    const { leaseMs, waitMs, guestBudgetCentsPerDay } = config
    const alarms = new Alarms({ state, log, publish: (alert) => publish(self, alert) })
    const journal = new Journal({
      state,
      now: Date.now,
      fallback: guestBudget(guestBudgetCentsPerDay, Date.now()),
      onCheckpoint: (error) => reportCheckpoint(self, error),
      onAlerts: (alerts, sequence) => alarms.raise(alerts, sequence),
    })
    const clocks = { now: Date.now, monotonic: () => performance.now() }
    const ledger = new Ledger({ journal, ...clocks, leaseMs, waitMs, onRefused: (alert) => alarms.raise([alert]) })
    await alarms.open()
    await ledger.open()
    await alarms.begin(ledger.book.sequence)
    const timer = setInterval(() => {
      ledger.expire().catch((error) => log.warn({ err: error }, 'reservations of silent holders are not booked yet'))
      alarms.tell()
    }, leaseMs / 4)
    opened = { ledger, leaseMs, timer }
  },
  stop: () => clearInterval(opened?.timer),
  functions: [
    serve(contract.setBudget, async (input, ctx) => {
      const subject = subjectOf(input, ctx)
      const entry = await ledger().change((book) => changedBudget(book, input, subject, Date.now()))
      await watches.settled(subject.realm)
      if (entry.kind !== 'budget') throw new AgentError('internal', 'Another entry than the budget was stored')
      return budgetView(ledger().book.account(entry.budget, Date.now()))
    }),
    serve(contract.deleteBudget, async ({ id }, ctx) => {
      await ledger().change((book) => deletedBudget(book, id, ctx.realm))
      return { id, deleted: true as const }
    }),
    serve(contract.budgets, (input, ctx) =>
      ledger().decide((book) => listBudgets(book, subjectOf(input, ctx), Date.now())),
    ),
    serve(contract.check, (input, ctx) =>
      ledger().decide((book) => checkBudgets(book, subjectOf(input, ctx), Date.now())),
    ),
    serve(contract.spend, async (input, ctx) => {
      const subject = subjectOf(input, ctx)
      const { provider, model, inputTokens, outputTokens, missionId, billingCode } = input
      const microUsd = input.costMicroUsd ?? (input.costCents ?? 0) * 10_000
      const { id, at, overdraft } = await ledger().spend({
        subject,
        ...spendKey(input, ctx),
        purpose: {
          provider,
          model,
          ...(billingCode ? { billingCode } : {}),
          ...(missionId ? { mission: missionId } : {}),
        },
        microUsd,
        input: inputTokens,
        output: outputTokens,
      })
      return {
        id,
        realmId: subject.realm,
        agentId: input.agentId,
        costCents: cents(microUsd),
        costMicroUsd: microUsd,
        provider,
        model,
        inputTokens,
        outputTokens,
        missionId: missionId ?? null,
        billingCode: billingCode ?? null,
        timestamp: new Date(at).toISOString(),
        overdraft,
      }
    }),
    serve(contract.summary, (input, ctx) =>
      ledger().decide((book) => summarize(book, realmOf(input.realmId, ctx), input)),
    ),
    serve(contract.reservations, ({ realmId }, ctx) =>
      ledger().decide((book) => listReservations(book, realmOf(realmId, ctx))),
    ),
    serve(contract.verify, async () => {
      const { entries, differences, checkpoint } = await ledger().verify()
      return { valid: differences.length === 0, entries, differences, checkpoint }
    }),
    serve(contract.watched, async ({ realmId }, ctx) => {
      assertWorker(ctx)
      return ledger().decide((book) => {
        const any = book.budgetsOf(realmId).length > 0
        if (!any) watches.tell(realmId)
        return { any, validMs: WATCH_MS }
      })
    }),
    serve(contract.reserve, async (input, ctx) => {
      assertWorker(ctx)
      const { reservation, held, affordable, limited, exhausted } = await ledger().reserve(
        {
          key: input.key,
          ...(input.call ? { call: input.call } : {}),
          subject: { realm: input.realmId, ...idsOf(input) },
          purpose: { provider: input.provider, model: input.model },
          minimum: input.minimumMicroUsd,
          hold: Math.max(input.minimumMicroUsd, input.holdMicroUsd),
          wanted: Math.max(input.holdMicroUsd, input.wantedMicroUsd),
        },
        ctx.signal,
      )
      return {
        reservationId: reservation,
        heldMicroUsd: held,
        affordableMicroUsd: affordable,
        limited,
        exhausted,
        leaseMs: opened!.leaseMs,
      }
    }),
    serve(contract.extend, async ({ reservationId, holdMicroUsd }, ctx) => {
      assertWorker(ctx)
      const { held, exhausted } = await ledger().extend(reservationId, holdMicroUsd)
      return { heldMicroUsd: held, exhausted }
    }),
    serve(contract.settle, async ({ reservationId, microUsd, inputTokens, outputTokens, maybeCharged }, ctx) => {
      assertWorker(ctx)
      const cost = { microUsd, input: inputTokens, output: outputTokens, maybe: maybeCharged }
      const { spent, overdraft } = await ledger().settle(reservationId, cost)
      return { spentMicroUsd: spent, overdraft }
    }),
    serve(contract.release, async ({ reservationId, key }, ctx) => {
      assertWorker(ctx)
      await ledger().release(reservationId ? { id: reservationId } : { key: key! })
      return { released: true as const }
    }),
  ],
})

/** `start` has run before the first function is registered. */
function ledger(): Ledger {
  if (!opened) throw new AgentError('internal', 'The ledger is not open')
  return opened.ledger
}

/** To the log, and to whoever looks at the workers: until it works again every start reads more entries. */
function reportCheckpoint(self: WorkerSelf, error: unknown): void {
  const reason = error instanceof Error ? error.message : String(error)
  const problem = error === undefined ? null : `No checkpoint could be written: ${reason}`
  if (problem === null) self.log.info('checkpoints are written again')
  else
    self.log.error(
      { err: error },
      'a checkpoint was not written; the entries stand, and the next start reads more of them',
    )
  self
    .trigger({ function_id: 'engine::workers::problem', payload: { problem }, action: TriggerAction.Void() })
    .catch((err: unknown) => self.log.warn({ err }, 'the engine was not told of it'))
}

/** To the topic `ledger.alert` in the realm of the budget. What will never be taken there is in the log. */
async function publish(self: WorkerSelf, { type, severity, budget, window, spent }: Alert): Promise<void> {
  const data = {
    type,
    severity,
    realmId: budget.realm,
    agentId: budget.agent ?? null,
    sessionId: budget.session ?? null,
    runId: budget.run ?? null,
    budgetId: budget.id,
    periodKey: window,
    spentCents: cents(spent),
    limitCents: cents(budget.limit),
    spentMicroUsd: spent,
    limitMicroUsd: budget.limit,
    utilizationPct: budget.limit === 0 ? 100 : (spent / budget.limit) * 100,
  }
  const payload = { topic: 'ledger.alert', data }
  try {
    await self.inRealm(budget.realm).trigger({ function_id: 'publish', payload, deadlineMs: TELL_MS })
  } catch (error) {
    if (isPassing(error)) throw error
    self.log.warn({ err: error, budget: budget.id }, 'an alert was not published')
  }
}

if (import.meta.main) await worker.run()
