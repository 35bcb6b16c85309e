import { readFile } from 'node:fs/promises'
import { parse } from 'yaml'
import * as z from 'zod'

/** The shape of `iii.worker.yaml`; `docs/manifest.md` is its specification in words. */

const name = z
  .string()
  .regex(/^[a-z][a-z0-9-]{0,62}$/, 'lower-case letters, digits and dashes, beginning with a letter')
const functionId = z
  .string()
  .regex(/^[a-z0-9_-]+(::[a-z0-9_-]+)+$/i, 'an id of the form domain::verb')
  .refine((id) => !/^(engine|sandbox)::/.test(id), 'engine:: and sandbox:: are not open to workers')
const variable = z.string().regex(/^[A-Z][A-Z0-9_]*$/, 'an environment variable in capitals')
/** A name of owned data; a trailing `*` matches any rest. */
const owned = z.string().regex(/^[^*\s]+\*?$/, 'a name that may end in one *')
const unique = <T>(list: T[]) => new Set(list.map((item) => JSON.stringify(item))).size === list.length
const set = <T extends z.ZodType>(item: T) => z.array(item).refine(unique, 'an entry stands here twice').default([])

export const Manifest = z
  .strictObject({
    name,
    version: z.string().regex(/^\d+\.\d+\.\d+(-[0-9a-z.-]+)?$/i, 'a version such as 0.1.0'),
    description: z.string().min(1).max(300),
    runtime: z.strictObject({ kind: z.literal('typescript'), entry: z.string().default('src/worker.ts') }),
    start: z.enum(['always', 'on-demand']).default('always'),
    instances: z.number().int().min(1).max(64).default(1),
    resources: z.strictObject({ memory: z.number().int().min(32).max(65_536).default(256) }).prefault({}),
    env: z.record(variable, z.coerce.string()).default({}),
    secrets: set(variable),
    owns: z.strictObject({ scopes: set(owned), streams: set(owned), topics: set(owned) }).prefault({}),
    system_scopes: set(owned),
    realm_registry: owned.optional(),
    gate: functionId.optional(),
    enters_realms: z.boolean().default(false),
    dependencies: set(name),
    functions: set(functionId),
    triggers: set(z.strictObject({ type: z.string().min(1), function: functionId, config: z.unknown() })),
  })
  .superRefine((manifest, context) => {
    const refuse = (path: PropertyKey[], message: string) => context.addIssue({ code: 'custom', path, message })
    manifest.system_scopes.forEach((scope, index) => {
      if (!manifest.owns.scopes.includes(scope)) {
        refuse(
          ['system_scopes', index],
          'is not among owns.scopes; only an owned scope can be kept for the installation',
        )
      }
    })
    const { realm_registry } = manifest
    if (realm_registry !== undefined && !manifest.system_scopes.includes(realm_registry)) {
      refuse(['realm_registry'], 'is not among system_scopes; realms are kept once for the installation')
    }
    const { gate } = manifest
    if (gate !== undefined && !manifest.functions.includes(gate)) {
      refuse(['gate'], `${gate} is not among this worker's functions`)
    }
    if (manifest.name === 'engine') refuse(['name'], 'is the name of the engine itself')
    manifest.triggers.forEach((trigger, index) => {
      if (!manifest.functions.includes(trigger.function)) {
        refuse(['triggers', index, 'function'], `${trigger.function} is not among this worker's functions`)
      }
    })
    if (manifest.dependencies.includes(manifest.name)) refuse(['dependencies'], 'a worker does not depend on itself')
  })

export type Manifest = z.output<typeof Manifest>

/** Reads and checks a manifest; every mistake is named in one error, with the place where it stands. */
export async function readManifest(file: string): Promise<Manifest> {
  return parseManifest(await readFile(file, 'utf8'), file)
}

export function parseManifest(text: string, file: string): Manifest {
  let value: unknown
  try {
    value = parse(text)
  } catch (cause) {
    throw new Error(`${file} is not valid YAML: ${(cause as Error).message}`, { cause })
  }
  const result = Manifest.safeParse(value)
  if (result.success) return result.data
  const mistakes = result.error.issues.map((issue) => `  ${issue.path.join('.') || '(top)'}: ${issue.message}`)
  throw new Error(`${file} does not follow docs/manifest.md:\n${mistakes.join('\n')}`)
}
