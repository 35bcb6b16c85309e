import type { Request } from '@agentos/contracts/approval'
import { get } from '../shared/api.ts'
import { usePolled } from '../shared/polled.ts'
import type { Resource } from '../shared/resource.ts'

const EVERY_MS = 2_000

/** What agents asked for, newest first, here or in a named realm; only the owner may know. */
export const useApprovals = (owner: boolean, realm?: string): Resource<Request[]> => {
  const options = realm === undefined ? {} : { realm }
  return usePolled(
    (signal) => (owner ? get<Request[]>('/v1/approvals', { signal, ...options }) : Promise.resolve([])),
    [owner, realm],
    EVERY_MS,
  )
}

export const pendingOf = (requests: readonly Request[] | undefined): Request[] =>
  requests?.filter(({ status }) => status === 'pending') ?? []
