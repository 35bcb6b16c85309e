import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { Checkout } from './support/checkout.ts'

let checkout: Checkout

function edit(file: string, ...changes: [RegExp | string, string][]): void {
  const path = join(checkout.root, 'workers/weather/src', file)
  const text = readFileSync(path, 'utf8')
  writeFileSync(
    path,
    changes.reduce((now, [from, to]) => now.replace(from, to), text),
  )
}

beforeAll(async () => {
  checkout = await Checkout.create()
  await checkout.agentosFromSource('new', 'worker', 'weather')
  edit('contracts.ts', ["effects: 'read'", "effects: 'write',\n  durable: true"], ["'GET ", "'POST "])
  const handler = `durable(greet, async ({ who }, ctx) => {
    if (who === 'poison') process.exit(7)
    await new Promise((resolve) => setTimeout(resolve, 500))
    return { text: \`\${greetingFor(who)} \${ctx.attempt}\` }
  })`
  edit('worker.ts', [/serve\(greet.*\)\)/, handler], ['serve }', 'durable }'])
  expect((await checkout.node('scripts/build.ts')).err).toBe('')
})
afterAll(() => checkout.destroy())

async function greet(who: string): Promise<string> {
  const response = await fetch(`${checkout.httpUrl}/v1/weather/greet`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ who }),
  })
  const { text, code } = (await response.json()) as { text?: string; code?: string }
  return text ?? code ?? 'nothing'
}

it('runs beside one that ends their process come to their ends, and their worker is not held', async () => {
  const running = await checkout.up()
  const poisoned = greet('poison').catch(() => 'cut off')
  const names = ['Ada', 'Grace', 'Mary', 'Jean']
  const answers = await Promise.all(names.map(greet))
  expect(answers).toEqual(names.map((who) => expect.stringMatching(`^Hello ${who}, this is weather. \\d+$`)))
  expect(
    answers.some((text) => !text.endsWith(' 1')),
    'some were cut off',
  ).toBe(true)
  expect(await greet('Joan')).toMatch(/^Hello Joan/)
  expect(running.output()).toContain('weather ended (exit code 7')
  expect(running.output()).not.toContain('weather is held')
  expect(await running.stop()).toBe(0)
  await poisoned
})
