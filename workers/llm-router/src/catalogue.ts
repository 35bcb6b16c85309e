import { codexAddress } from './codex-address.ts'
import { localServers } from './local-servers.ts'
import knowledge from './models.json' with { type: 'json' }
import {
  type Environment,
  type FormatName,
  isLoopback,
  Knowledge,
  type KnownModel,
  type KnownProvider,
  type Price,
  type Settings,
  type Trait,
} from './settings.ts'

export interface Provider {
  name: string
  baseUrl: string
  /** '' where no key is needed. */
  keyEnv: string
  format: FormatName
  /** Runs on this host, and costs nothing but what the owner says. */
  local: boolean
  /** Whether it is asked if it is there. */
  probed: boolean
  families: readonly string[]
  traits: readonly Trait[]
  maxConcurrent: number | undefined
}

/** What is known of a model; only `provider` and `id` where it is in no table. */
export interface ModelFacts extends Omit<KnownModel, 'source'> {
  source: string | undefined
  asOf: string | undefined
}

export interface ModelChoice {
  provider: string
  model: string
}

/** Providers, models and aliases: the built-in table, changed and extended by the owner's settings. */
export class Catalogue {
  readonly providers = new Map<string, Provider>()
  readonly aliases = new Map<string, string>()
  private readonly facts = new Map<string, ModelFacts>()
  /** Of all models of a provider that have none of their own. */
  private readonly prices = new Map<string, { price: Price; source: string }>()
  /** What in the settings could not be used, to be logged once. */
  readonly warnings: string[] = []

  constructor(settings: Settings, environment: Environment) {
    const known = Knowledge.parse(knowledge)
    for (const provider of known.providers) this.addProvider(provider)
    this.applyEnvironment(environment)
    for (const model of known.models) {
      const source = model.source === undefined ? undefined : known.sources[model.source]
      this.facts.set(keyOf(model.provider, model.id), { ...model, source: source?.url, asOf: source?.asOf })
    }
    this.applySettings(settings)
    for (const [name, target] of Object.entries({ ...known.aliases, ...settings.aliases }))
      this.aliases.set(name, target)
  }

  /** Facts of the model; where it is not in the table, those that hold for any. */
  model(provider: string, id: string): ModelFacts {
    const known = this.facts.get(keyOf(provider, id))
    const price = known?.price ? undefined : this.prices.get(provider)
    if (known) return price ? { ...known, ...price } : known
    const facts = { provider, id, tools: true, vision: true, sampling: true, retired: false }
    return { ...facts, reasoning: false, source: undefined, asOf: undefined, ...price }
  }

  /** What runs on this host is paid by nobody, unless the owner gave it a price. */
  isFree(provider: string, id: string): boolean {
    return this.providers.get(provider)?.local === true && this.model(provider, id).price === undefined
  }

  models(provider?: string): ModelFacts[] {
    const all = [...this.facts.values()]
    return provider === undefined ? all : all.filter((facts) => facts.provider === provider)
  }

  /** Models of the table that go by this name, one for each provider that has it. */
  owners(id: string): string[] {
    return [...this.providers.keys()].filter((provider) => this.facts.has(keyOf(provider, id)))
  }

  private addProvider(provider: KnownProvider): void {
    this.providers.set(provider.name, { ...provider, probed: provider.local, maxConcurrent: undefined })
  }

  private applyEnvironment(environment: Environment): void {
    const codex = this.providers.get('codex')
    if (codex && environment.codexBaseUrl !== undefined) {
      const address = codexAddress(environment.codexBaseUrl)
      if (address === undefined) this.warnings.push('CODEX_PROXY_BASE_URL is not a plain loopback address; ignored')
      else codex.baseUrl = address
    }
    if (environment.localModels === undefined) return
    for (const provider of this.providers.values()) provider.probed = false
    const { servers, warnings } = localServers(environment.localModels)
    this.warnings.push(...warnings)
    for (const { name, baseUrl } of servers) {
      const local = { keyEnv: '', format: 'openai-chat', local: true } as const
      this.addProvider({ ...local, name, baseUrl, families: [], traits: ['parsed-arguments'] })
    }
  }

  private applySettings(settings: Settings): void {
    for (const [name, change] of Object.entries(settings.providers)) {
      const before = this.providers.get(name)
      const baseUrl = change.baseUrl?.replace(/\/+$/, '') ?? before?.baseUrl
      if (baseUrl === undefined) {
        this.warnings.push(`providers.${name} needs a baseUrl; ignored`)
        continue
      }
      const { hostname, protocol } = new URL(baseUrl)
      if (before?.traits.includes('loopback-only') && codexAddress(baseUrl) === undefined) {
        this.warnings.push(`providers.${name}.baseUrl is not a plain loopback address; ignored`)
        continue
      }
      if (protocol === 'http:' && !isLoopback(hostname)) {
        this.warnings.push(`providers.${name}.baseUrl is not https: its key and messages travel in the clear`)
      }
      this.providers.set(name, {
        name,
        baseUrl,
        keyEnv: change.keyEnv ?? before?.keyEnv ?? `${name.toUpperCase().replace(/[^A-Z0-9]/g, '_')}_API_KEY`,
        format: change.format ?? before?.format ?? 'openai-chat',
        local: before?.local ?? false,
        probed: before?.probed ?? false,
        families: before?.families ?? [],
        traits: change.traits ?? before?.traits ?? [],
        maxConcurrent: change.maxConcurrent,
      })
      for (const id of change.models ?? []) {
        if (!this.facts.has(keyOf(name, id))) this.facts.set(keyOf(name, id), this.model(name, id))
      }
    }
    for (const [key, { source, ...price }] of Object.entries(settings.prices)) this.setPrice(key, price, source)
  }

  private setPrice(key: string, price: Price, source: string | undefined): void {
    const slash = key.indexOf('/')
    const [provider, id] = [key.slice(0, slash), key.slice(slash + 1)]
    if (slash <= 0 || !this.providers.has(provider)) {
      this.warnings.push(`prices: "${key}" is not provider/model of a known provider; ignored`)
      return
    }
    const told = { price, source: source ?? 'config.yaml' }
    if (id === '*') this.prices.set(provider, told)
    else this.facts.set(key, { ...this.model(provider, id), ...told, asOf: undefined })
  }
}

function keyOf(provider: string, id: string): string {
  return `${provider}/${id}`
}
