import { describe, expect, it } from 'vitest'
import { Catalogue } from './catalogue.ts'
import type { LocalServer } from './local-servers.ts'
import { Resolver, type RouteRequest } from './resolution.ts'
import { type Environment, Settings } from './settings.ts'

const NO_ENVIRONMENT: Environment = {
  defaultProvider: undefined,
  defaultModel: undefined,
  codexBaseUrl: undefined,
  localModels: 'off',
  bind: '127.0.0.1',
}

interface World {
  keys?: string[]
  local?: LocalServer[]
  settings?: unknown
  environment?: Partial<Environment>
}

function route({ keys = [], local = [], settings = {}, environment = {} }: World, request: Partial<RouteRequest> = {}) {
  const parsed = Settings.parse(settings)
  const surroundings = { ...NO_ENVIRONMENT, ...environment }
  const resolver = new Resolver({
    catalogue: new Catalogue(parsed, surroundings),
    settings: parsed,
    environment: surroundings,
    hasKey: async ({ name, keyEnv }) => keyEnv === '' || keys.includes(name),
    localServers: async () => local,
  })
  const messages = [{ role: 'user', content: 'hi' }]
  return resolver.resolve({ messages, tools: [], provider: undefined, model: undefined, ...request })
}

const hard = { messages: [{ role: 'user', content: `${'x'.repeat(600)} analyze this function \`\`\`code\`\`\`` }] }

describe('a request that names its model', () => {
  it.each([
    ['haiku', 'anthropic', /haiku/],
    ['gpt-5.6-sol', 'codex', /^gpt-5.6-sol$/],
    ['gpt-4o', 'openai', /^gpt-4o$/],
    ['groq/some-new-model', 'groq', /^some-new-model$/],
    ['openrouter/anthropic/claude-9', 'openrouter', /^anthropic\/claude-9$/],
    ['meta-llama/Llama-3.3-70B-Instruct', 'together', /^meta-llama/],
    ['accounts/fireworks/models/other', 'fireworks', /^accounts\/fireworks\/models\/other$/],
    ['claude-from-tomorrow', 'anthropic', /^claude-from-tomorrow$/],
    ['demo/rules', 'demo', /^rules$/],
  ])('%s goes to %s, without any key', async (model, provider, name) => {
    const found = await route({}, { model })
    expect(found.provider).toBe(provider)
    expect(found.model).toMatch(name)
    expect(found.complexity).toBe(0)
  })

  it('takes provider and model apart, and an alias with its provider', async () => {
    expect(await route({}, { provider: 'mistral', model: 'new' })).toMatchObject({ provider: 'mistral', model: 'new' })
    expect((await route({}, { provider: 'anthropic', model: 'haiku' })).model).toContain('claude-haiku')
    expect(await route({}, { provider: 'openai', model: 'openai/gpt-4o' })).toMatchObject({ model: 'gpt-4o' })
  })

  it('asks the servers on this host for a name that nobody knows', async () => {
    const local = [{ provider: 'vllm', models: ['tiny'] }]
    expect(await route({ local }, { model: 'tiny' })).toMatchObject({ provider: 'vllm', model: 'tiny' })
  })

  it('takes a model that two offer from the one with a key', async () => {
    expect(await route({ keys: ['codex'] }, { model: 'gpt-5.4' })).toMatchObject({ provider: 'codex' })
    await expect(route({ keys: ['codex', 'openai'] }, { model: 'gpt-5.4' })).rejects.toThrow('ambiguous model: gpt-5.4')
  })

  it.each([
    [{ provider: 'nobody', model: 'x' }, 'unknown provider: nobody'],
    [{ model: 'nothing-like-it' }, 'unknown model: nothing-like-it'],
    [{ provider: 'openai' }, 'provider requires model'],
  ])('refuses %o', async (request, text) => {
    await expect(route({}, request)).rejects.toThrow(text)
  })
})

describe('a request that names none', () => {
  it('takes the cheapest model of the wanted size among providers with a key', async () => {
    expect(await route({ keys: ['openai'] })).toMatchObject({ provider: 'openai', model: 'gpt-4o-mini' })
    expect(await route({ keys: ['openai', 'deepseek'] })).toMatchObject({ provider: 'deepseek' })
    expect(await route({ keys: ['anthropic'] }, hard)).toMatchObject({
      provider: 'anthropic',
      model: 'claude-opus-5-5',
      complexity: 41,
    })
  })

  it('never takes a model that is retired, cannot see, or is too small', async () => {
    expect((await route({ keys: ['google'] })).model).toBe('gemini-2.5-flash')
    const picture = { messages: [{ role: 'user', content: [{ type: 'image' }] }] }
    expect((await route({ keys: ['deepseek', 'openai'] }, picture)).provider).toBe('openai')
    const huge = {
      messages: [
        { role: 'user', content: 'x' },
        { role: 'user', content: 'y'.repeat(700_000) },
        { role: 'user', content: 'z' },
      ],
    }
    expect((await route({ keys: ['openai', 'anthropic'] }, huge)).model).not.toBe('gpt-4o-mini')
  })

  it('takes the model that counts as absent as absent', async () => {
    const request = { provider: '', model: 'agentos-default' }
    expect(await route({ keys: ['openai'] }, request)).toMatchObject({ model: 'gpt-4o-mini' })
  })

  it('takes the configured default before anything else, whatever other keys there are', async () => {
    const settings = { default: 'sonnet' }
    expect((await route({ settings, keys: ['openai'] })).provider).toBe('anthropic')
    const environment = { defaultProvider: 'anthropic', defaultModel: 'haiku' }
    expect((await route({ environment, keys: ['openai'] })).model).toContain('haiku')
    expect(await route({ environment: { defaultModel: 'groq/x' } })).toMatchObject({ provider: 'groq', model: 'x' })
    expect((await route({ environment: { defaultProvider: 'openai' }, keys: ['openai', 'deepseek'] })).provider).toBe(
      'openai',
    )
    await expect(route({ environment: { defaultProvider: 'nope' } })).rejects.toThrow('unknown default provider: nope')
  })

  it('takes a server on this host before the demo, and a key before that', async () => {
    const local = [{ provider: 'ollama', models: ['qwen3:4b', 'other'] }]
    expect(await route({ local })).toMatchObject({ provider: 'ollama', model: 'qwen3:4b' })
    expect((await route({ local, keys: ['openai'] })).provider).toBe('openai')
  })

  it('takes the demo only where nothing else is configured and only this host can ask', async () => {
    expect(await route({})).toMatchObject({ provider: 'demo', model: 'rules' })
    const error = await route({ environment: { bind: '0.0.0.0' } }).catch((reason) => reason)
    expect(error).toMatchObject({
      code: 'not_configured',
      message: expect.stringMatching(/ANTHROPIC_API_KEY.* in \.env beside config\.yaml, .*nothing has to be restarted/),
    })
  })
})

describe('the catalogue', () => {
  it('knows the eleven providers of the table and takes further ones from the settings', () => {
    const settings = Settings.parse({
      providers: {
        'my-box': { baseUrl: 'https://box.example/v1/', models: ['m1'] },
        openai: { format: 'openai-responses' },
      },
      prices: { 'my-box/m1': { input: 1, output: 2, source: 'contract' } },
    })
    const catalogue = new Catalogue(settings, NO_ENVIRONMENT)
    const table = [
      'anthropic',
      'openai',
      'google',
      'groq',
      'together',
      'deepseek',
      'mistral',
      'fireworks',
      'openrouter',
      'ollama',
      'codex',
    ]
    expect([...catalogue.providers.keys()]).toEqual(expect.arrayContaining([...table, 'my-box']))
    expect(catalogue.providers.get('my-box')).toMatchObject({
      baseUrl: 'https://box.example/v1',
      keyEnv: 'MY_BOX_API_KEY',
    })
    expect(catalogue.providers.get('openai')).toMatchObject({
      format: 'openai-responses',
      baseUrl: 'https://api.openai.com/v1',
    })
    expect(catalogue.model('my-box', 'm1')).toMatchObject({ price: { input: 1, output: 2 }, source: 'contract' })
    expect(catalogue.warnings).toEqual([])
  })

  it('has a source and a date for every price', () => {
    const catalogue = new Catalogue(Settings.parse({}), NO_ENVIRONMENT)
    for (const facts of catalogue.models()) {
      if (!facts.price) continue
      expect(facts.source, `${facts.provider}/${facts.id}`).toMatch(/^https:/)
      expect(facts.asOf).toMatch(/^20\d\d-\d\d-\d\d$/)
    }
  })

  it('sends the codex login nowhere but to this host, and says what it left out', () => {
    const settings = Settings.parse({ providers: { codex: { baseUrl: 'https://evil.example/v1' }, 'no-address': {} } })
    const catalogue = new Catalogue(settings, { ...NO_ENVIRONMENT, codexBaseUrl: 'http://localhost:1/v1' })
    expect(catalogue.providers.get('codex')?.baseUrl).toBe('http://127.0.0.1:8317/v1')
    expect(catalogue.providers.has('no-address')).toBe(false)
    expect(catalogue.warnings).toHaveLength(3)
  })

  it('probes only what it is told to', () => {
    const probed = (localModels: string | undefined) =>
      [...new Catalogue(Settings.parse({}), { ...NO_ENVIRONMENT, localModels }).providers.values()]
        .filter((provider) => provider.probed)
        .map(({ name, baseUrl }) => `${name} ${baseUrl}`)
    expect(probed('off')).toEqual([])
    expect(probed('box=http://127.0.0.1:9/v1/')).toEqual(['box http://127.0.0.1:9/v1'])
    expect(probed(undefined).map((line) => line.split(' ')[0])).toEqual(['ollama', 'llamacpp', 'vllm'])
  })
})
