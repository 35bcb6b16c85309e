import type { Request } from '@agentos/contracts/approval'
import { get } from '../shared/api.ts'
import { usePolled } from '../shared/polled.ts'
import type { Resource } from '../shared/resource.ts'

const EVERY_MS = 2_000

/** What agents asked for, newest first; only the owner may know. */
export const useApprovals = (owner: boolean): Resource<Request[]> =>
  usePolled((signal) => (owner ? get<Request[]>('/v1/approvals', { signal }) : Promise.resolve([])), [owner], EVERY_MS)

export const pendingOf = (requests: readonly Request[] | undefined): Request[] =>
  requests?.filter(({ status }) => status === 'pending') ?? []
