import * as contract from '@agentos/contracts/ledger'
import { AgentError, type Caller, defineWorker, serve, TriggerAction, type WorkerSelf } from '@agentos/sdk'
import * as z from 'zod'
import type { Alert } from './alerts.ts'
import { changedBudget, deletedBudget } from './budgets.ts'
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
})

let opened: { ledger: Ledger; leaseMs: number; timer: NodeJS.Timeout } | undefined
const watches = new Watches()

export const worker = defineWorker({
  name: 'ledger',
  start: async (self) => {
    const { leaseMs, waitMs } = Settings.parse(self.config ?? {})
    const journal = new Journal(self.state, Date.now)
    const clocks = { now: Date.now, monotonic: () => performance.now() }
    const ledger = new Ledger({ journal, ...clocks, leaseMs, waitMs, alert: (alert) => publish(self, alert) })
    await ledger.open()
    const timer = setInterval(() => {
      ledger
        .expire()
        .catch((error) => self.log.warn({ err: error }, 'reservations of silent holders are not booked yet'))
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
    serve(contract.budgets, (input, ctx) => listBudgets(ledger().book, subjectOf(input, ctx), Date.now())),
    serve(contract.check, (input, ctx) => checkBudgets(ledger().book, subjectOf(input, ctx), Date.now())),
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
    serve(contract.summary, (input, ctx) => summarize(ledger().book, realmOf(input.realmId, ctx), input)),
    serve(contract.reservations, ({ realmId }, ctx) => listReservations(ledger().book, realmOf(realmId, ctx))),
    serve(contract.verify, async () => {
      const { entries, differences } = await ledger().verify()
      return { valid: differences.length === 0, entries, differences }
    }),
    serve(contract.watched, async ({ realmId }, ctx) => {
      assertWorker(ctx)
      return ledger().decide((book) => {
        const any = [...book.budgets.values()].some(({ realm }) => realm === realmId)
        if (!any) watches.tell(realmId)
        return { any, validMs: WATCH_MS }
      })
    }),
    serve(contract.reserve, async (input, ctx) => {
      assertWorker(ctx)
      const { reservation, held, affordable, exhausted } = await ledger().reserve(
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

/** To the topic `ledger.alert` in the realm of the budget; at most once, to those who listen. */
function publish(self: WorkerSelf, { type, severity, budget, window, spent }: Alert): void {
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
  const there: Caller = self.inRealm(budget.realm)
  there
    .trigger({ function_id: 'publish', payload: { topic: 'ledger.alert', data }, action: TriggerAction.Void() })
    .catch((error) => self.log.warn({ err: error, budget: budget.id }, 'an alert was not published'))
}

if (import.meta.main) await worker.run()
