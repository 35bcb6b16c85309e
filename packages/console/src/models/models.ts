import type { providers } from '@agentos/contracts/llm-router'
import type { OutputOf } from '@agentos/sdk/contract'
import { get } from '../shared/api.ts'
import type { Problem } from '../shared/problem.ts'
import { useResource } from '../shared/resource.ts'

type ProviderList = OutputOf<typeof providers>
export type Provider = ProviderList['providers'][number]

export interface ModelChoice {
  /** `provider/model` */
  id: string
}

export interface Models {
  known: boolean
  providers: Provider[]
  inUse?: ProviderList['default'] & object
  /** Fixed rules answer, because there is no model. */
  demo: boolean
  /** The model in use in few words. */
  label: string
  /** What one can ask for by name now. */
  choices: ModelChoice[]
  problem?: Problem
  reload: () => void
}

/** Local servers come and go: they are looked for again now and then by whoever asks the router. */
export function useModels(inputs: unknown[]): Models {
  const { value, problem, reload } = useResource((signal) => get<ProviderList>('/v1/llm/providers', { signal }), inputs)
  return { ...modelsOf(value), ...(problem ? { problem } : {}), reload }
}

function modelsOf(list: ProviderList | undefined): Omit<Models, 'problem' | 'reload'> {
  const inUse = list?.default ?? undefined
  const usable = list?.providers.filter((provider) => provider.available) ?? []
  return {
    known: list !== undefined,
    providers: list?.providers ?? [],
    ...(inUse ? { inUse } : {}),
    demo: inUse?.provider === 'demo',
    label: inUse ? `${inUse.provider}/${inUse.model}` : 'no model',
    choices: usable.flatMap(({ name, models }) => models.map((model) => ({ id: `${name}/${model}` }))),
  }
}
