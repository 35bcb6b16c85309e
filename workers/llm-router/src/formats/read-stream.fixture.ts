import type { StreamFrame } from '@agentos/contracts/llm-router'
import type { Answer } from '../answer.ts'
import { feed } from '../answer-body.ts'
import type { ModelFacts } from '../catalogue.ts'
import { type Format, type Translation, translate } from './format.ts'

const FACTS: ModelFacts = {
  provider: 'simulated',
  id: 'a-model',
  tools: true,
  vision: true,
  reasoning: false,
  sampling: true,
  retired: false,
  source: undefined,
  asOf: undefined,
}

/** Of a request that offers these functions. */
export function translationFor(...offered: string[]): Translation {
  const tools = offered.map((id) => ({ id, description: '', inputSchema: { type: 'object' } }))
  return translate('a-model', { messages: [{ role: 'user', content: 'Hello' }], tools }, FACTS, [])
}

/** What a format makes of a stream of these events; undefined where it was torn. */
export function readEvents(
  format: Format,
  translation: Translation,
  events: readonly (object | string)[],
): (Answer & { frames: StreamFrame[] }) | undefined {
  const frames: StreamFrame[] = []
  const reader = format.reader(translation, (frame) => frames.push(frame))
  for (const event of events) {
    feed(reader, { event: '', data: typeof event === 'string' ? event : JSON.stringify(event) })
  }
  const answer = reader.finish()
  return answer && { ...answer, frames }
}
