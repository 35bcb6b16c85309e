import { join } from 'node:path'
import type {
  aliases,
  Completion,
  CompletionInput,
  models,
  providers,
  setKey,
  test,
} from '@agentos/contracts/llm-router'
import {
  AgentError,
  type ChannelRef,
  forWhom,
  type HandlerContext,
  knownSecrets,
  type OutputOf,
  type StateClient,
  type WorkerSelf,
} from '@agentos/sdk'
import { Afterwards } from './afterwards.ts'
import { Budgets } from './budget.ts'
import { Catalogue, type ModelChoice, type Provider } from './catalogue.ts'
import { askDemo } from './demo/demo.ts'
import { type Dispatched, Dispatcher } from './dispatch.ts'
import { KeyRing } from './keys.ts'
import { LocalServers } from './local-servers.ts'
import { type ModelCall, ModelCalls } from './model-calls.ts'
import { costOf, perMillion } from './price.ts'
import { listModels } from './provider-client.ts'
import { DEMO, Resolver, type Route, type RouteRequest } from './resolution.ts'
import { type Environment, readEnvironment, type Settings } from './settings.ts'
import { Transport } from './transport.ts'
import { type Attribution, readUsage, recordUsage, type UsageQuery, type UsageStats } from './usage-ledger.ts'

export interface RouterOptions {
  settings: Settings
  environment: Environment
  keys: KeyRing
  budgets: Budgets
}

/** Puts the parts together: which model, its key, the request, and what it cost. */
export class Router {
  private readonly settings: Settings
  private readonly catalogue: Catalogue
  private readonly keys: KeyRing
  private readonly transport = new Transport()
  private readonly local: LocalServers
  private readonly resolver: Resolver
  private readonly dispatcher: Dispatcher
  private readonly calls = new ModelCalls()
  private readonly budgets: Budgets
  private readonly counting = new Afterwards()

  constructor({ settings, environment, keys, budgets }: RouterOptions) {
    this.settings = settings
    this.budgets = budgets
    this.keys = keys
    this.catalogue = new Catalogue(settings, environment)
    const { catalogue, transport } = this
    const probed = [...catalogue.providers.values()].filter((provider) => provider.probed)
    this.local = new LocalServers(probed, {
      list: (provider, signal) => listModels(transport, provider, undefined, signal, settings.timeouts),
    })
    this.resolver = new Resolver({
      catalogue,
      settings,
      environment,
      hasKey: (provider) => this.hasKey(provider),
      localServers: () => this.local.running(),
    })
    const keyFor = (provider: Provider) => this.keyFor(provider)
    this.dispatcher = new Dispatcher({ catalogue, settings, transport, keyFor, budgets })
  }

  /** What in the settings cannot be used, for the log at start. */
  async problems(): Promise<string[]> {
    const { settings, catalogue, resolver } = this
    const named = [settings.default, ...settings.fallback].filter((choice) => choice !== undefined)
    const checks = await Promise.allSettled(named.map((choice) => resolver.explicit(undefined, choice)))
    return [
      ...catalogue.warnings,
      ...checks.flatMap((check) => (check.status === 'rejected' ? [(check.reason as Error).message] : [])),
    ]
  }

  /** Before the first request: what is a key is blanked from the start on, wherever it stands. */
  async findKeys(): Promise<void> {
    await Promise.all([...this.catalogue.providers.values()].map((provider) => this.hasKey(provider)))
  }

  route(request: RouteRequest): Promise<Route> {
    return this.resolver.resolve(request)
  }

  async complete(
    input: CompletionInput & { stream?: ChannelRef | undefined },
    ctx: HandlerContext,
  ): Promise<Completion> {
    const { stream, ...request } = input
    attributionOf(request, ctx)
    const writer = stream && ctx.openWriter(stream)
    try {
      return await this.calls.ask(ctx, request, writer, (call) => this.answer(request, call))
    } finally {
      await writer?.close()
    }
  }

  private async answer(request: CompletionInput, call: ModelCall): Promise<Completion> {
    const route = await this.route({
      messages: request.messages,
      tools: request.tools ?? [],
      provider: request.provider,
      model: request.model,
      ...(request.maxTokens === undefined ? {} : { maxTokens: request.maxTokens }),
    })
    return this.account(await this.ask(route, request, call), request, call.ctx)
  }

  private async ask(route: Route, input: CompletionInput, call: ModelCall): Promise<Dispatched> {
    const { ctx, signal } = call
    const emit = call.streaming ? call.emit : undefined
    const observe = (choice: ModelChoice, ask: () => Promise<Dispatched>) =>
      ctx.span(`model ${choice.provider}/${choice.model}`, async (span) => {
        span.set('provider', choice.provider)
        span.set('model', choice.model)
        for (const [name, value] of Object.entries(input.metadata ?? {})) span.set(`metadata.${name}`, value)
        const done = await ask()
        const { usage, stopReason, stopDetail } = done.answer
        const cost = this.cost(done)
        span.set('input_tokens', usage.input)
        span.set('output_tokens', usage.output)
        span.set('cached', usage.cached ?? 0)
        if (usage.estimated) span.set('usage_estimated', true)
        if (cost.microUsd !== null) span.set('cost_micro_usd', cost.microUsd)
        span.set('retries', done.retries)
        span.set('stop_reason', stopDetail ?? stopReason)
        return done
      })
    if (route.provider === DEMO.provider) {
      const silent = async () => {}
      const demo = async () => ({ ...DEMO, answer: await askDemo(input, emit ?? silent, signal), retries: 0 })
      return observe(DEMO, demo)
    }
    const choices = [route, ...(await this.fallbacks(route))]
    const spender = { realm: ctx.realm, ...attributionOf(input, ctx), run: ctx.run, call: call.name }
    const remainingMs = () => call.remainingMs()
    return this.dispatcher.dispatch(choices, { input, emit, signal, remainingMs, spender }, observe)
  }

  private async fallbacks(first: ModelChoice): Promise<ModelChoice[]> {
    const chain: ModelChoice[] = []
    for (const name of this.settings.fallback) {
      const choice = await this.resolver.explicit(undefined, name).catch(() => undefined)
      if (!choice || choice.provider === DEMO.provider) continue
      const repeated = [first, ...chain].some((c) => c.provider === choice.provider && c.model === choice.model)
      if (!repeated) chain.push(choice)
    }
    return chain
  }

  private account(done: Dispatched, input: CompletionInput, ctx: ModelCall['ctx']): Completion {
    const { provider, model, answer } = done
    const cost = this.cost(done)
    const counted = recordUsage(ctx.state, done, answer.usage, cost, attributionOf(input, ctx)).catch((error) => {
      ctx.log.warn({ err: error, provider, model }, 'the usage of a model call was not stored')
    })
    this.counting.add(counted)
    const { parts, stopReason, stopDetail } = answer
    if (stopReason === 'other') {
      ctx.log.warn({ provider, model, reason: stopDetail }, 'a model stopped for a reason that is not known here')
    }
    return {
      content: parts.map((part) => (part.type === 'text' ? part.text : '')).join(''),
      provider,
      model,
      toolCalls: parts.flatMap((part) => {
        if (part.type !== 'toolCall') return []
        const { type: _, ...call } = part
        return [call]
      }),
      parts,
      usage: answer.usage,
      cost,
      stopReason,
      ...(stopDetail === undefined ? {} : { stopDetail }),
      ...(answer.budget ? { budget: answer.budget } : {}),
    }
  }

  private cost({ provider, model, answer }: Dispatched): Completion['cost'] {
    if (provider === DEMO.provider || this.catalogue.isFree(provider, model)) return { microUsd: 0, priced: true }
    if (answer.usage.estimated) return { microUsd: null, priced: false }
    return costOf(answer.usage, this.catalogue.model(provider, model).price, new Date())
  }

  async providers(): Promise<OutputOf<typeof providers>> {
    const running = new Map((await this.local.running()).map((server) => [server.provider, server.models]))
    const rows = await Promise.all(
      [...this.catalogue.providers.values()].map(async (provider) => {
        const key = await this.keys.find(provider.keyEnv)
        const configured = provider.keyEnv === '' || key !== undefined
        const breaker = this.dispatcher.breakerState(provider.name)
        const known = this.catalogue.models(provider.name).map(({ id }) => id)
        const models = running.get(provider.name) ?? known
        return {
          name: provider.name,
          base_url: provider.baseUrl,
          env_key: provider.keyEnv,
          models,
          configured,
          available: configured && breaker !== 'open' && (!provider.local || running.has(provider.name)),
          modelCount: models.length,
          format: provider.format,
          local: provider.local,
          ...(key ? { keySource: key.source } : {}),
          breaker,
        }
      }),
    )
    return { providers: rows, default: await this.currentDefault() }
  }

  async models(only: string | undefined): Promise<OutputOf<typeof models>> {
    const { providers: rows, default: current } = await this.providers()
    const listed = rows
      .filter(({ name }) => only === undefined || name === only)
      .flatMap(({ name, models: ids, available }) => ids.map((id) => ({ id, provider: name, available })))
    if (current?.provider === DEMO.provider && (only ?? DEMO.provider) === DEMO.provider) {
      listed.push({ id: DEMO.model, provider: DEMO.provider, available: true })
    }
    return {
      models: listed.map(({ id, provider, available }) => {
        const facts = this.catalogue.model(provider, id)
        const free = provider === DEMO.provider || this.catalogue.isFree(provider, id)
        const price = free ? { input: 0, output: 0, cached: 0 } : facts.price
        return {
          id,
          provider,
          tier: facts.tier ?? null,
          contextWindow: facts.contextWindow ?? null,
          maxOutput: facts.maxOutput ?? null,
          inputPrice: perMillion(price?.input),
          cachedInputPrice: perMillion(price?.cached),
          outputPrice: perMillion(price?.output),
          tools: facts.tools,
          vision: facts.vision,
          reasoning: facts.reasoning,
          source: facts.source ?? null,
          asOf: facts.asOf ?? null,
          available,
        }
      }),
    }
  }

  async aliases(): Promise<OutputOf<typeof aliases>> {
    const entries = await Promise.all(
      [...this.catalogue.aliases].map(async ([name]) => {
        const choice = await this.resolver.explicit(undefined, name).catch(() => undefined)
        return choice ? [[name, choice] as const] : []
      }),
    )
    return { aliases: Object.fromEntries(entries.flat()) }
  }

  async setKey(name: string, key: string): Promise<OutputOf<typeof setKey>> {
    const provider = this.provider(name)
    if (provider.keyEnv === '') throw new AgentError('invalid_input', `${name} needs no key`)
    await this.keys.set(provider.keyEnv, key)
    return { provider: name, env_key: provider.keyEnv, configured: await this.hasKey(provider) }
  }

  async test(name: string, signal: AbortSignal): Promise<OutputOf<typeof test>> {
    const provider = this.provider(name)
    try {
      const key = await this.keyFor(provider)
      const found = await listModels(this.transport, provider, key, signal, this.settings.timeouts)
      return { provider: name, ok: true, models: found }
    } catch (error) {
      if (!(error instanceof AgentError) || signal.aborted) throw error
      return {
        provider: name,
        ok: false,
        models: [],
        error: { code: error.code, message: knownSecrets.text(error.message) },
      }
    }
  }

  /** What the realm used, with all that this process answered before. */
  async usage(state: StateClient, realm: string, query: UsageQuery): Promise<UsageStats[]> {
    await this.counting.settled()
    return readUsage(state, realm, query)
  }

  async close(): Promise<void> {
    await Promise.all([this.budgets.booked(), this.counting.settled()])
    await this.transport.close()
  }

  private async currentDefault(): Promise<{ provider: string; model: string; reason: string } | null> {
    const request = { messages: [], tools: [], provider: undefined, model: undefined }
    return this.route(request).then(
      ({ provider, model, reason }) => ({ provider, model, reason }),
      () => null,
    )
  }

  private provider(name: string): Provider {
    const provider = this.catalogue.providers.get(name)
    if (!provider) throw new AgentError('not_found', `There is no provider ${name}; llm::providers lists them`)
    return provider
  }

  private async hasKey(provider: Provider): Promise<boolean> {
    return provider.keyEnv === '' || (await this.keys.find(provider.keyEnv)) !== undefined
  }

  private async keyFor({ name, keyEnv }: Provider): Promise<string | undefined> {
    if (keyEnv === '') return undefined
    const key = await this.keys.find(keyEnv)
    if (key) return key.value
    const message = `No key for ${name}: set ${keyEnv} in .env beside config.yaml, or store it with PUT /v1/llm/providers/${name}/key; nothing has to be restarted.`
    throw new AgentError('not_configured', message, { details: { provider: name, setting: keyEnv } })
  }
}

/** The router of a worker process, with its settings from the engine and its keys from where they are kept. */
export async function openRouter(self: WorkerSelf<Settings>, env: NodeJS.ProcessEnv = process.env): Promise<Router> {
  const secretsPath = join(self.dataDir, 'secrets.json')
  const dotenvPath = join(env.AGENTOS_ROOT || join(self.dataDir, '..'), '.env')
  const keys = new KeyRing({ secretsPath, dotenvPath, env })
  const environment = readEnvironment(env)
  const router = new Router({ settings: self.config, environment, keys, budgets: new Budgets(self) })
  await router.findKeys()
  for (const problem of await router.problems()) self.log.warn(problem)
  return router
}

/**
 * Who pays. The input names an agent or a session only for callers that may say for whom they call; and the agent whose call
 * it all is done for is not talked away by another that it talks to. Throws `forbidden`.
 */
function attributionOf({ agentId, sessionId }: CompletionInput, ctx: ModelCall['ctx']): Attribution {
  const { agent, session } = forWhom(ctx, { agentId, sessionId })
  return { agent: ctx.principal.kind === 'agent' ? ctx.principal.id : agent, session }
}
