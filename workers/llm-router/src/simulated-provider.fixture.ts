import type { CompletionInput, StreamFrame } from '@agentos/contracts/llm-router'
import { AgentError } from '@agentos/sdk'
import {
  type Script,
  type Simulator,
  type SimulatorOptions,
  startAnthropicSimulator,
  startGeminiSimulator,
  startOpenAiResponsesSimulator,
  startOpenAiSimulator,
} from '@agentos/testing'
import { expect } from 'vitest'
import type { Answer } from './answer.ts'
import type { ModelFacts, Provider } from './catalogue.ts'
import { askProvider } from './provider-client.ts'
import { type FormatName, Settings } from './settings.ts'
import { Transport } from './transport.ts'

export interface SimulatedFormat {
  format: FormatName
  start: (script: Script, options?: SimulatorOptions) => Promise<Simulator>
  model: string
}

export const FORMATS: SimulatedFormat[] = [
  { format: 'openai-chat', start: startOpenAiSimulator, model: 'gpt-5.4' },
  { format: 'openai-responses', start: startOpenAiResponsesSimulator, model: 'gpt-5.4' },
  { format: 'anthropic', start: startAnthropicSimulator, model: 'claude-opus-4-6' },
  { format: 'gemini', start: startGeminiSimulator, model: 'gemini-3.1-pro-preview' },
]

export interface HowToAsk {
  stream?: boolean
  signal?: AbortSignal
  timeouts?: Partial<Settings['timeouts']>
  key?: string
  /** Gets the frames as they come. */
  seen?: StreamFrame[]
}

export interface SimulatedProvider {
  simulator: Simulator
  provider: Provider
  transport: Transport
  ask: (input?: Partial<CompletionInput>, how?: HowToAsk) => Promise<Answer & { frames: StreamFrame[] }>
  close(): Promise<void>
}

/** A simulator and what asks it as the router does. */
export async function connectTo(
  { format, start, model }: SimulatedFormat,
  script: Script,
  options: SimulatorOptions = {},
  moreFacts: Partial<ModelFacts> = {},
): Promise<SimulatedProvider> {
  const simulator = await start(script, options)
  const transport = new Transport()
  const provider: Provider = {
    name: 'simulated',
    baseUrl: simulator.url,
    keyEnv: 'KEY',
    format,
    local: false,
    probed: false,
    families: [],
    traits: [],
    maxConcurrent: undefined,
  }
  const facts: ModelFacts = {
    provider: 'simulated',
    id: model,
    tools: true,
    vision: true,
    reasoning: format === 'openai-responses',
    sampling: !format.startsWith('openai'),
    retired: false,
    source: undefined,
    asOf: undefined,
    ...moreFacts,
  }
  const { timeouts } = Settings.parse({})
  return {
    simulator,
    provider,
    transport,
    async ask(input = {}, how = {}) {
      const frames = how.seen ?? []
      const answer = await askProvider(transport, {
        provider,
        facts,
        model,
        key: how.key ?? 'test-key',
        input: { messages: [{ role: 'user', content: 'Hello' }], ...input },
        emit: how.stream ? async (frame) => void frames.push(frame) : undefined,
        signal: how.signal ?? new AbortController().signal,
        timeouts: { ...timeouts, ...how.timeouts },
      })
      return { ...answer, frames }
    },
    async close() {
      await simulator.close()
      await transport.close()
    },
  }
}

/** The typed error of a call that has to fail. */
export async function failure(call: Promise<unknown>): Promise<AgentError> {
  const error = await call.then(
    (value) => value,
    (reason) => reason,
  )
  expect(error).toBeInstanceOf(AgentError)
  return error as AgentError
}
