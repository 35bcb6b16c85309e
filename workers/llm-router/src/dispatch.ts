import { setTimeout as delay } from 'node:timers/promises'
import type { CompletionInput, StreamFrame } from '@agentos/contracts/llm-router'
import { AgentError } from '@agentos/sdk'
import type { Answer } from './answer.ts'
import { Breaker, type BreakerState } from './breaker.ts'
import { type Budgets, GUEST_REALM, type Hold, type Spender } from './budget.ts'
import type { Catalogue, ModelChoice, Provider } from './catalogue.ts'
import { Gate } from './gate.ts'
import { askProvider, cancelled } from './provider-client.ts'
import type { Settings } from './settings.ts'
import type { Transport } from './transport.ts'
import { isRetryable, isUnhealthy, mayWorkElsewhere, retryAfterOf, upstreamError } from './upstream-error.ts'

export interface DispatchRequest {
  input: CompletionInput
  emit: ((frame: StreamFrame) => Promise<void>) | undefined
  signal: AbortSignal
  /** Milliseconds left for the whole call. */
  remainingMs: () => number | undefined
  /** For whom the model is asked. */
  spender: Spender
}

export interface Dispatched extends ModelChoice {
  answer: Answer
  /** Further attempts that the answering provider needed. */
  retries: number
}

export interface DispatchPorts {
  catalogue: Catalogue
  settings: Settings
  transport: Transport
  /** The key, undefined where none is needed; throws `not_configured`. */
  keyFor: (provider: Provider) => Promise<string | undefined>
  budgets: Pick<Budgets, 'spend'>
  now?: () => number
  random?: () => number
}

/** Called around each provider that is tried, so that each becomes a span. */
export type Observe = (choice: ModelChoice, ask: () => Promise<Dispatched>) => Promise<Dispatched>

/** Sends a request to its provider, again where that may help, and to the fallbacks where it did not. */
export class Dispatcher {
  private readonly ports: Required<DispatchPorts>
  private readonly breakers = new Map<string, Breaker>()
  private readonly gates = new Map<string, Gate>()

  constructor(ports: DispatchPorts) {
    this.ports = { now: Date.now, random: Math.random, ...ports }
  }

  breakerState(provider: string): BreakerState {
    return this.breakers.get(provider)?.state ?? 'closed'
  }

  async dispatch(choices: readonly ModelChoice[], request: DispatchRequest, observe: Observe): Promise<Dispatched> {
    // A reader that has seen a delta must not see another answer behind it.
    let begun = false
    const { emit } = request
    const watched = emit && {
      emit: (frame: StreamFrame) => {
        begun = true
        return emit(frame)
      },
    }
    const failures: { choice: ModelChoice; error: AgentError }[] = []
    for (const choice of choices) {
      try {
        return await observe(choice, () => this.ask(choice, { ...request, ...watched }, () => begun))
      } catch (error) {
        // A fallback that has no words for the request is none for it.
        const speechless = failures.length > 0 && error instanceof AgentError && error.code === 'unsupported_feature'
        if (begun || !(mayWorkElsewhere(error) || speechless)) throw error
        failures.push({ choice, error: error as AgentError })
      }
    }
    throw withFallbacks(failures)
  }

  private async ask(choice: ModelChoice, request: DispatchRequest, begun: () => boolean): Promise<Dispatched> {
    const provider = this.ports.catalogue.providers.get(choice.provider)
    if (!provider) throw new AgentError('not_configured', `There is no provider ${choice.provider} in config.yaml`)
    const key = await this.ports.keyFor(provider)
    const { retries } = this.ports.settings
    for (let attempt = 0; ; attempt += 1) {
      try {
        return { ...choice, answer: await this.attempt(provider, choice, key, request), retries: attempt }
      } catch (error) {
        const waitMs = this.waitBefore(attempt, error)
        const remaining = request.remainingMs() ?? Number.POSITIVE_INFINITY
        if (begun() || attempt >= retries.max || waitMs === undefined || waitMs >= remaining) throw error
        await delay(waitMs, undefined, { signal: request.signal }).catch(() => {
          throw cancelled(request.signal)
        })
      }
    }
  }

  /** Undefined where another attempt makes no sense. */
  private waitBefore(attempt: number, error: unknown): number | undefined {
    if (!isRetryable(error) || this.isRefusedByBreaker(error)) return undefined
    const { baseMs, maxWaitMs } = this.ports.settings.retries
    const asked = retryAfterOf(error) ?? 0
    if (asked > maxWaitMs) return undefined
    const backoff = Math.min(maxWaitMs, baseMs * 2 ** attempt)
    return asked + backoff * (0.5 + this.ports.random() / 2)
  }

  private isRefusedByBreaker(error: unknown): boolean {
    return error instanceof AgentError && (error.details as { kind?: unknown } | undefined)?.kind === 'breaker_open'
  }

  /** One attempt: first a place, then the money, so that none is held while a request waits for its turn. */
  private async attempt(
    provider: Provider,
    choice: ModelChoice,
    key: string | undefined,
    request: DispatchRequest,
  ): Promise<Answer> {
    const { signal } = request
    const leave = await this.gate(provider)
      .enter(signal, request.spender.realm === GUEST_REALM)
      .catch((error) => {
        throw signal.aborted ? cancelled(signal) : error
      })
    try {
      return await this.watched(provider, choice, signal, (asking) =>
        this.paid(provider, choice, request, (hold) => {
          asking()
          const { settings, catalogue, transport } = this.ports
          const facts = catalogue.model(provider.name, choice.model)
          const { input, emit } = request
          const { timeouts } = settings
          return askProvider(transport, {
            provider,
            facts,
            model: choice.model,
            key,
            input,
            emit,
            signal,
            timeouts,
            hold,
          })
        }),
      )
    } finally {
      leave()
    }
  }

  /** Tells the breaker how the provider did; what ended before `asking`, or by a cancel, says nothing about it. */
  private async watched(
    provider: Provider,
    choice: ModelChoice,
    signal: AbortSignal,
    work: (asking: () => void) => Promise<Answer>,
  ): Promise<Answer> {
    const breaker = this.breaker(provider.name)
    const retryAfterMs = breaker.admit()
    if (retryAfterMs !== undefined) {
      const message = 'the provider failed repeatedly and is left alone for a moment'
      throw upstreamError('upstream_error', choice, message, { kind: 'breaker_open', retryAfterMs })
    }
    let asked = false
    try {
      const answer = await work(() => {
        asked = true
      })
      breaker.succeeded()
      return answer
    } catch (error) {
      if (!asked) breaker.unknown()
      else if (isUnhealthy(error)) breaker.failed()
      else if (signal.aborted) breaker.unknown()
      else breaker.succeeded()
      throw error
    }
  }

  /** With the money that a budget wants held for it. */
  private paid(
    provider: Provider,
    choice: ModelChoice,
    request: DispatchRequest,
    ask: (hold: Hold | undefined) => Promise<Answer>,
  ): Promise<Answer> {
    const { catalogue, settings, budgets } = this.ports
    if (catalogue.isFree(provider.name, choice.model)) return ask(undefined)
    const { input, emit, signal, remainingMs, spender } = request
    const facts = catalogue.model(provider.name, choice.model)
    const { provider: name, model } = choice
    const asked = {
      choice: { provider: name, model },
      facts,
      input,
      streaming: emit !== undefined,
      signal,
      remainingMs,
    }
    return budgets.spend({ ...spender, ...asked, totalMs: settings.timeouts.totalMs }, ask).catch((error) => {
      throw signal.aborted ? cancelled(signal) : error
    })
  }

  private breaker(provider: string): Breaker {
    let breaker = this.breakers.get(provider)
    if (!breaker) {
      breaker = new Breaker(this.ports.settings.breaker, this.ports.now)
      this.breakers.set(provider, breaker)
    }
    return breaker
  }

  private gate(provider: Provider): Gate {
    let gate = this.gates.get(provider.name)
    if (!gate) {
      const { perProvider, queue } = this.ports.settings.concurrency
      gate = new Gate(provider.name, provider.maxConcurrent ?? perProvider, queue)
      this.gates.set(provider.name, gate)
    }
    return gate
  }
}

/** The first failure is what the caller asked about; the others stand in its details. */
function withFallbacks(failures: readonly { choice: ModelChoice; error: AgentError }[]): AgentError {
  const [first, ...rest] = failures
  if (!first) return new AgentError('not_configured', 'There is no model to ask')
  if (rest.length === 0) return first.error
  const fallbacks = rest.map(({ choice, error }) => ({ ...choice, code: error.code, message: error.message }))
  const details = { ...(first.error.details as object), fallbacks }
  return new AgentError(first.error.code, first.error.message, { details, cause: first.error })
}
