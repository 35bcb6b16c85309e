/** The files of a new worker, relative to its folder. Everything the author does not want to think about is in place. */
export function workerFiles(name: string, versions: { zod: string }): Record<string, string> {
  return {
    'iii.worker.yaml': `# What this worker is, without running it. Every field: docs/manifest.md
name: ${name}
version: 0.1.0
description: Greets people, until it does something better
runtime: { kind: typescript, entry: src/worker.ts }
start: always
resources: { memory: 192 }
functions:
  - ${name}::greet
`,
    'package.json': `${JSON.stringify(
      {
        name: `@agentos/worker-${name}`,
        version: '0.1.0',
        private: true,
        type: 'module',
        exports: { '.': './src/worker.ts', './contracts': './src/contracts.ts' },
        dependencies: { '@agentos/sdk': 'workspace:*', zod: versions.zod },
        devDependencies: { '@agentos/testing': 'workspace:*' },
      },
      null,
      2,
    )}
`,
    'README.md': `# ${name}

Greets people, until it does something better.

| Function | HTTP | Does |
|---|---|---|
| \`${name}::greet\` | \`GET /v1/${name}/greet?who=Ada\` | greets somebody by name |

Settings: none.

- \`src/contracts.ts\` says what its functions take and give; validation, OpenAPI, the page's form and the model's tool come from it.
- \`src/greeting.ts\` is the logic, with its test beside it.
- \`src/worker.ts\` says which function is served by what; its test runs it as a process under a real engine.
- \`npm test -- workers/${name}\` builds it and runs both.
- A function that is added stands in \`iii.worker.yaml\` too.
`,
    'src/contracts.ts': `import { defineFunction } from '@agentos/sdk/contract'
import * as z from 'zod'

export const greet = defineFunction({
  id: '${name}::greet',
  summary: 'Greets somebody by name',
  input: () => z.strictObject({ who: z.string().min(1).max(100).default('world') }),
  output: () => z.object({ text: z.string() }),
  http: 'GET /v1/${name}/greet',
  effects: 'read',
  tool: true,
})
`,
    'src/greeting.ts': `export function greetingFor(who: string): string {
  return \`Hello \${who}, this is ${name}.\`
}
`,
    'src/greeting.test.ts': `import { expect, it } from 'vitest'
import { greetingFor } from './greeting.ts'

it('greets by name', () => {
  expect(greetingFor('Ada')).toBe('Hello Ada, this is ${name}.')
})
`,
    'src/worker.test.ts': `import { startSystem } from '@agentos/testing'
import { expect, it } from 'vitest'

it('answers over HTTP with what its contract says', async () => {
  await using system = await startSystem({ workers: ['${name}'] })
  const { body } = await system.api('GET', '/v1/${name}/greet?who=Ada')
  expect(body).toEqual({ text: 'Hello Ada, this is ${name}.' })
})
`,
    'src/worker.ts': `import { defineWorker, serve } from '@agentos/sdk'
import { greet } from './contracts.ts'
import { greetingFor } from './greeting.ts'

export const worker = defineWorker({
  name: '${name}',
  functions: [serve(greet, ({ who }) => ({ text: greetingFor(who) }))],
})

if (import.meta.main) await worker.run()
`,
  }
}
