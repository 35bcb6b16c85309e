import { hash } from 'node:crypto'
import { create as createAgent } from '@agentos/contracts/agent-core'
import { type Bundle, Bundle as BundleSchema, type Realm } from '@agentos/contracts/realm'
import { AgentError, canonicalJson, type ParsedInputOf, redactSecrets } from '@agentos/sdk'
import * as z from 'zod'

/** Fields of an agent that travel; everything else of a record belongs to its installation. */
const agentFields = ['id', 'name', 'description', 'model', 'systemPrompt', 'capabilities', 'resources', 'tags'] as const
const MAX_AGENTS = 1_000

export type AgentInput = ParsedInputOf<typeof createAgent>

/** What a bundle asks for, checked. */
export interface ReadBundle {
  realm: {
    name: string
    owner: string | undefined
    description: string | null
    defaultModel: string | null
    maxAgents: number | null
    metadata: unknown
  }
  agents: AgentInput[]
  warnings: string[]
}

/** With `scrub`, everything that looks like a secret is replaced, and where is said. */
export function makeBundle(realm: Realm, agents: object[], scrub: boolean, warnings: string[]): Bundle {
  const { id, name, description, status, owner, defaultModel, maxAgents, metadata } = realm
  const content = {
    realm: { id, name, description, status, owner, defaultModel, maxAgents, metadata },
    agents: agents.map((agent) => picked(agent)),
  }
  const { value, paths } = scrub ? redactSecrets(content) : { value: content, paths: [] }
  const body = { version: '1.0' as const, ...(value as typeof content), directives: [], hierarchy: [] }
  return { ...body, checksum: checksumOf(body), redacted: paths, warnings }
}

/** Checks all of it before anything is written. Throws `invalid_input`, naming every mistake. */
export function readBundle(data: Record<string, unknown>): ReadBundle {
  if (data.version !== undefined && data.version !== '1.0') {
    throw new AgentError(
      'invalid_input',
      `Version ${JSON.stringify(data.version)} of a bundle is not supported; it is "1.0"`,
    )
  }
  const parsed = Incoming().safeParse(data)
  if (!parsed.success) throw refusal(parsed.error.issues)
  const { realm, agents: given, directives, hierarchy, checksum } = parsed.data
  if (checksum !== undefined && checksum !== checksumOf(data)) {
    throw new AgentError('invalid_input', 'The checksum does not fit the bundle: it was changed or damaged on its way')
  }
  const agents = readAgents(given)
  if (realm.maxAgents !== null && agents.length > realm.maxAgents) {
    throw new AgentError(
      'invalid_input',
      `The bundle has ${agents.length} agents, and the realm allows ${realm.maxAgents}`,
    )
  }
  const warnings: string[] = []
  if (directives.length > 0)
    warnings.push(`${directives.length} directives were left out: no worker here keeps directives`)
  if (hierarchy.length > 0) warnings.push(`The hierarchy was left out: no worker here keeps one`)
  return { realm, agents, warnings }
}

/** SHA-256 of what a bundle carries, whatever the order of its keys. */
export function checksumOf({ version, realm, agents, directives, hierarchy }: Record<string, unknown>): string {
  return hash('sha256', canonicalJson({ version, realm, agents, directives, hierarchy }))
}

const Incoming = () => {
  const { realm, checksum } = BundleSchema().shape
  const { description, defaultModel, maxAgents, metadata } = realm.shape
  return z.object({
    realm: z
      .object({
        name: z.string().trim().min(1).max(200).default('Imported realm'),
        owner: z
          .string()
          .trim()
          .min(1)
          .max(200)
          .nullish()
          .transform((owner) => owner ?? undefined),
        description: description.default(null),
        defaultModel: defaultModel.default(null),
        maxAgents: maxAgents.default(null),
        metadata: metadata.default(null),
      })
      .prefault({}),
    agents: z.array(z.record(z.string(), z.unknown())).max(MAX_AGENTS).default([]),
    directives: z.array(z.unknown()).default([]),
    hierarchy: z.array(z.unknown()).default([]),
    checksum: checksum.optional(),
  })
}

function readAgents(given: Record<string, unknown>[]): AgentInput[] {
  const issues: z.core.$ZodIssue[] = []
  const agents = given.flatMap((agent, index) => {
    const result = createAgent.input().safeParse(picked(agent))
    if (result.success) return [result.data as AgentInput]
    issues.push(...result.error.issues.map((issue) => ({ ...issue, path: ['agents', index, ...issue.path] })))
    return []
  })
  if (issues.length > 0) throw refusal(issues)
  const ids = agents.flatMap(({ id }) => id ?? [])
  const twice = ids.find((id, index) => ids.indexOf(id) !== index)
  if (twice !== undefined) throw new AgentError('invalid_input', `The bundle has two agents with the id ${twice}`)
  return agents
}

/** The fields that travel, without empty ones. */
function picked(agent: object): Record<string, unknown> {
  const record = agent as Record<string, unknown>
  return Object.fromEntries(agentFields.flatMap((field) => (record[field] == null ? [] : [[field, record[field]]])))
}

function refusal(issues: z.core.$ZodIssue[]): AgentError {
  const mistakes = issues.map(({ path, message }) => `${path.join('.')}: ${message}`)
  return new AgentError('invalid_input', `The bundle cannot be imported: ${mistakes.slice(0, 5).join('; ')}`, {
    details: { mistakes: mistakes.slice(0, 50) },
  })
}
