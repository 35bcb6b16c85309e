import { AgentError } from '@agentos/sdk'
import type { Catalogue, ModelChoice, ModelFacts, Provider } from './catalogue.ts'
import { complexity, type ScoredRequest, type Tier, tierOf } from './complexity.ts'
import type { LocalServer } from './local-servers.ts'
import { type Environment, isLoopback, type Settings } from './settings.ts'

export const DEMO: ModelChoice = { provider: 'demo', model: 'rules' }

export interface RouteRequest extends ScoredRequest {
  provider: string | undefined
  model: string | undefined
  /** Tokens of the answer to leave room for. */
  maxTokens?: number
}

export interface Route extends ModelChoice {
  complexity: number
  /** Why this one, for people. */
  reason: string
}

export interface ResolverPorts {
  catalogue: Catalogue
  settings: Settings
  environment: Environment
  hasKey: (provider: Provider) => Promise<boolean>
  localServers: () => Promise<LocalServer[]>
}

/** Decides which provider and model a request goes to; contacts nothing but servers on this host. */
export class Resolver {
  private readonly ports: ResolverPorts

  constructor(ports: ResolverPorts) {
    this.ports = ports
  }

  async resolve(request: RouteRequest): Promise<Route> {
    const score = complexity(request)
    const explicit = await this.explicit(present(request.provider), present(request.model))
    if (explicit) return { ...explicit, complexity: score, reason: 'named by the request' }
    return { ...(await this.byDefault(request, score)), complexity: score }
  }

  /** The choice that names stand for, or undefined where neither is given. */
  async explicit(provider: string | undefined, model: string | undefined): Promise<ModelChoice | undefined> {
    if (model === undefined) {
      if (provider === undefined) return undefined
      throw refuse(`provider requires model: name a model of ${provider}, as "${provider}/<model>"`)
    }
    const target = this.ports.catalogue.aliases.get(model)
    if (provider === undefined) return this.modelAlone(target ?? model)
    this.known(provider)
    // An alias is a name for a model, so it only applies where it means this provider.
    if (target?.startsWith(`${provider}/`)) return split(target)
    return { provider, model: model.startsWith(`${provider}/`) ? model.slice(provider.length + 1) : model }
  }

  private async modelAlone(model: string): Promise<ModelChoice> {
    const { catalogue } = this.ports
    const [provider, ...rest] = model.split('/')
    if (rest.length > 0 && (catalogue.providers.has(provider!) || provider === DEMO.provider)) return split(model)
    const owners = catalogue.owners(model)
    if (owners.length === 1) return { provider: owners[0]!, model }
    if (owners.length > 1) {
      // A model that two providers offer is only a question where both could answer it.
      const usable = await this.usable(owners)
      if (usable.length === 1) return { provider: usable[0]!, model }
      throw refuse(`ambiguous model: ${model}; name one of ${owners.map((owner) => `${owner}/${model}`).join(', ')}`)
    }
    for (const { name, families } of catalogue.providers.values()) {
      if (families.some((family) => model.startsWith(family))) return { provider: name, model }
    }
    const local = (await this.ports.localServers()).filter((server) => server.models.includes(model))
    if (local.length > 0) return { provider: local[0]!.provider, model }
    throw new AgentError('model_not_found', `unknown model: ${model}; write it as provider/model`)
  }

  private async byDefault(request: RouteRequest, score: number): Promise<ModelChoice & { reason: string }> {
    const configured = await this.configured()
    if (configured) return { ...configured, reason: 'configured default' }
    const { catalogue, environment } = this.ports
    const within = environment.defaultProvider
    const remote = [...catalogue.providers.values()].filter((p) => !p.local && (!within || p.name === within))
    const withKey = await this.usable(remote.map((provider) => provider.name))
    const automatic = this.cheapest(withKey, request, tierOf(score))
    if (automatic) return { ...automatic, reason: `cheapest model for a score of ${score} among providers with a key` }
    const [server] = (await this.ports.localServers()).filter((s) => !within || s.provider === within)
    if (server) return { provider: server.provider, model: server.models[0]!, reason: 'model server on this host' }
    if (within) throw this.notConfigured(`No key for the default provider ${within}.`, catalogue.providers.get(within))
    if (isLoopback(environment.bind)) return { ...DEMO, reason: 'no model is connected' }
    throw this.notConfigured('No model is configured.', undefined)
  }

  /** The default that the owner named, in config.yaml or the environment. */
  private async configured(): Promise<ModelChoice | undefined> {
    const { settings, environment } = this.ports
    if (settings.default !== undefined) return this.explicit(undefined, settings.default)
    const { defaultProvider, defaultModel } = environment
    if (defaultProvider !== undefined && !this.ports.catalogue.providers.has(defaultProvider)) {
      throw refuse(
        `unknown default provider: ${defaultProvider}; set AGENTOS_DEFAULT_PROVIDER in .env beside config.yaml to a known one, then: npm run agentos -- restart llm-router`,
      )
    }
    if (defaultModel === undefined) return undefined
    return this.explicit(defaultProvider, defaultModel)
  }

  /** Of the wanted tier, else the next larger, else the next smaller; unknown prices count as dearest. */
  private cheapest(providers: readonly string[], request: RouteRequest, tier: Tier): ModelChoice | undefined {
    const fitting = providers
      .flatMap((name) => this.ports.catalogue.models(name))
      .filter((facts) => fits(facts, request))
    const tiers: Tier[] = ['small', 'medium', 'large']
    const at = tiers.indexOf(tier)
    for (const wanted of [...tiers.slice(at), ...tiers.slice(0, at).reverse()]) {
      const [best] = fitting.filter((facts) => facts.tier === wanted).sort((a, b) => weight(a) - weight(b))
      if (best) return { provider: best.provider, model: best.id }
    }
    return undefined
  }

  private async usable(names: readonly string[]): Promise<string[]> {
    const keys = await Promise.all(
      names.map((name) => {
        const provider = this.ports.catalogue.providers.get(name)
        return provider ? this.ports.hasKey(provider) : false
      }),
    )
    return names.filter((_, index) => keys[index])
  }

  private known(name: string): void {
    if (this.ports.catalogue.providers.has(name) || name === DEMO.provider) return
    throw refuse(
      `unknown provider: ${name}; add it with its baseUrl under providers: in config: of llm-router in config.yaml, then: npm run agentos -- restart engine`,
    )
  }

  private notConfigured(sentence: string, provider: Provider | undefined): AgentError {
    const setting = provider?.keyEnv || 'ANTHROPIC_API_KEY, OPENAI_API_KEY or GOOGLE_API_KEY'
    const how = `Set ${setting} in .env beside config.yaml, or paste a key on the page; nothing has to be restarted.`
    return new AgentError('not_configured', `${sentence} ${how}`, { details: { setting } })
  }
}

function refuse(message: string): AgentError {
  return new AgentError('invalid_input', message)
}

function present(value: string | undefined): string | undefined {
  return value === undefined || value === '' || value === 'agentos-default' ? undefined : value
}

function split(choice: string): ModelChoice {
  const slash = choice.indexOf('/')
  return { provider: choice.slice(0, slash), model: choice.slice(slash + 1) }
}

function weight({ price }: ModelFacts): number {
  // Agents read about three tokens for each one that they write.
  return price ? 3 * price.input + price.output : Number.POSITIVE_INFINITY
}

function fits(facts: ModelFacts, request: RouteRequest): boolean {
  if (facts.retired || (request.tools.length > 0 && !facts.tools)) return false
  if (!facts.vision && hasImage(request)) return false
  if (facts.contextWindow === undefined) return true
  // Four bytes a token is low for code and high for CJK; a model that is nearly full should not be chosen anyway.
  const tokens = Buffer.byteLength(JSON.stringify([request.messages, request.tools])) / 4
  return tokens + (request.maxTokens ?? 4096) <= facts.contextWindow
}

function hasImage({ messages }: RouteRequest): boolean {
  return messages.some(
    ({ content }) =>
      Array.isArray(content) && content.some((part: { type?: unknown } | null) => part?.type === 'image'),
  )
}
