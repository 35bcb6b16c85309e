import { get } from '../shared/api.ts'
import { usePolled } from '../shared/polled.ts'
import type { Resource } from '../shared/resource.ts'
import type { Span } from '../trace/span.ts'

const EVERY_MS = 2_000
const NEWEST = '/v1/traces?trigger=cron&sort_by=start_time&sort_order=desc&limit=100'

/** What schedules did last, the newest first: the spans at which their traces begin. */
export const useFirings = (): Resource<Span[]> =>
  usePolled(async (signal) => (await get<{ spans: Span[] }>(NEWEST, { signal })).spans, [], EVERY_MS)
