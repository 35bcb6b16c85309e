import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { WorkerDescriptor } from '../../packages/protocol/src/index.ts'
import type { FunctionContract } from '../../packages/sdk/src/contract.ts'
import { describeContract, describeFormats } from '../../packages/sdk/src/describe.ts'
import type { Manifest } from '../manifest.ts'

/** Where a worker's contracts are: its own file where it brings one (a third party's worker), else the shared package. */
export function contractsFile(root: string, worker: string): string | undefined {
  const candidates = [
    join(root, 'workers', worker, 'src/contracts.ts'),
    join(root, 'packages/contracts/src', `${worker}.ts`),
  ]
  return candidates.find((file) => existsSync(file))
}

/** Loads every contract that the file exports; whatever else it exports (schemas, types) is left alone. */
export async function loadContracts(file: string): Promise<FunctionContract[]> {
  const exports = (await import(pathToFileURL(file).href)) as Record<string, unknown>
  return [...new Set(Object.values(exports).filter(isContract))]
}

/** Joins manifest and contracts; throws where the two do not name the same functions. */
export async function describeWorker(manifest: Manifest, contracts: FunctionContract[]): Promise<WorkerDescriptor> {
  const byId = new Map<string, FunctionContract>()
  for (const contract of contracts) {
    if (byId.has(contract.id)) throw new Error(`two contracts of ${manifest.name} have the id ${contract.id}`)
    byId.set(contract.id, contract)
  }
  const missing = manifest.functions.filter((id) => !byId.has(id))
  const undeclared = [...byId.keys()].filter((id) => !manifest.functions.includes(id))
  if (missing.length > 0 || undeclared.length > 0) {
    const lines = [
      ...missing.map((id) => `  ${id} is declared in iii.worker.yaml, but no contract has this id`),
      ...undeclared.map((id) => `  ${id} is a contract, but iii.worker.yaml does not list it under functions`),
    ]
    throw new Error(`manifest and contracts of ${manifest.name} differ:\n${lines.join('\n')}`)
  }
  return {
    name: manifest.name,
    version: manifest.version,
    description: manifest.description,
    start: manifest.start,
    instances: manifest.instances,
    memoryMb: manifest.resources.memory,
    env: manifest.env,
    secrets: manifest.secrets,
    owns: manifest.owns,
    systemScopes: manifest.system_scopes,
    ...(manifest.realm_registry === undefined ? {} : { realmRegistry: manifest.realm_registry }),
    ...(manifest.gate === undefined ? {} : { gate: manifest.gate }),
    entersRealms: manifest.enters_realms,
    ...(manifest.speaks_for_agents ? { speaksForAgents: true } : {}),
    dependencies: manifest.dependencies,
    functions: await Promise.all(
      [...byId.values()].map(async (contract) => ({
        ...describeContract(contract),
        ...(await describeFormats(contract)),
      })),
    ),
    triggers: manifest.triggers.map(({ type, function: function_id, config }) => ({ type, function_id, config })),
  }
}

function isContract(value: unknown): value is FunctionContract {
  if (typeof value !== 'object' || value === null) return false
  const { id, summary, input, output } = value as Partial<Record<keyof FunctionContract, unknown>>
  return (
    typeof id === 'string' && typeof summary === 'string' && typeof input === 'function' && typeof output === 'function'
  )
}
