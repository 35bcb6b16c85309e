import { readFile } from 'node:fs/promises'
import { isMap, isScalar, isSeq, LineCounter, type Node, parseDocument, type Scalar } from 'yaml'
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
    speaks_for_agents: z.boolean().default(false),
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
      const condition = conditionOf(trigger.config)
      const isOwn = manifest.functions.some((id) => id.split('::')[0] === condition?.split('::')[0])
      if (condition !== undefined && isOwn && !manifest.functions.includes(condition)) {
        const path = ['triggers', index, 'config', 'condition_function_id']
        refuse(path, `${condition} is not among this worker's functions`)
      }
    })
    if (manifest.dependencies.includes(manifest.name)) refuse(['dependencies'], 'a worker does not depend on itself')
  })

function conditionOf(config: unknown): string | undefined {
  if (typeof config !== 'object' || config === null || !('condition_function_id' in config)) return undefined
  return typeof config.condition_function_id === 'string' ? config.condition_function_id : undefined
}

export type Manifest = z.output<typeof Manifest>

type Path = readonly PropertyKey[]

/** What is wrong with a manifest; each line begins with its place. */
export class ManifestError extends Error {}

/** A manifest that was read, and where each part of it stands. */
export interface ManifestFile {
  manifest: Manifest
  /** `file:line:column` of a part; of what is not there, of the part around it. */
  placeOf(path: Path): string
}

/** Reads and checks a manifest; every mistake is named in one error, with the place where it stands. */
export async function readManifest(file: string): Promise<Manifest> {
  return parseManifest(await readFile(file, 'utf8'), file)
}

export function parseManifest(text: string, file: string): Manifest {
  return openManifest(text, file).manifest
}

/** `file` is how the file is called in what is said of it. */
export function openManifest(text: string, file: string): ManifestFile {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false })
  const placeAt = (offset: number): string => {
    const { line, col } = lines.linePos(offset)
    return `${file}:${line}:${col}`
  }
  const [broken] = document.errors
  if (broken) throw new ManifestError(`${placeAt(broken.pos[0])}: it is not valid YAML: ${broken.message}`)
  const placeOf = (path: Path): string => placeAt(offsetOf(document.contents, path))
  const result = Manifest.safeParse(document.toJS())
  if (result.success) return { manifest: result.data, placeOf }
  const mistakes = result.error.issues.flatMap(({ path, ...issue }) =>
    issue.code === 'unrecognized_keys'
      ? issue.keys.map((key) => ({ path: [...path, key], message: 'there is no such key' }))
      : [{ path, message: issue.message }],
  )
  const said = mistakes.map(({ path, message }) => `${placeOf(path)}: ${path.join('.') || '(top)'}: ${message}`)
  throw new ManifestError([...said, 'What may stand there: docs/manifest.md'].join('\n'))
}

/** Where a part of a document begins: a key where the path ends at one, else the value. */
function offsetOf(node: Node | null, path: Path): number {
  const [step, ...rest] = path
  if (isMap(node) && step !== undefined) {
    const pair = node.items.find(({ key }) => isScalar(key) && key.value === step)
    const key = pair?.key as Scalar | undefined
    if (pair && rest.length > 0 && pair.value) return offsetOf(pair.value as Node, rest)
    if (key?.range) return key.range[0]
  }
  if (isSeq(node) && typeof step === 'number' && node.items[step]) return offsetOf(node.items[step] as Node, rest)
  return node?.range?.[0] ?? 0
}
