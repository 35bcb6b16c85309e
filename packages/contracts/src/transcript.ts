import * as z from 'zod'
import { Message } from './message.ts'

const Count = () => z.number().int().nonnegative()
const Time = () => z.number().int().describe('epoch milliseconds')

/** One message of a transcript: the neutral message, and where it stands. Pass on `role` and `content` to a model. */
export const TranscriptMessage = () =>
  Message().extend({
    id: z.string(),
    /** Ascending, with gaps allowed. */
    sequence: z.number().int().positive(),
    timestamp: Time(),
  })

export type TranscriptMessage = z.output<ReturnType<typeof TranscriptMessage>>

/** What stands for messages that were compacted; they stay readable with `archived: true`. */
export const SessionSummary = () =>
  z.object({
    id: z.string(),
    content: z.string(),
    from: z.number().int(),
    through: z.number().int(),
    createdAt: Time(),
  })

export type SessionSummary = z.output<ReturnType<typeof SessionSummary>>

export const SessionInfo = () =>
  z.object({
    sessionId: z.string(),
    agentId: z.string(),
    /** The beginning of the first user message. */
    title: z.string(),
    /** The newest at most 20, without content. */
    messages: z.array(z.object({ id: z.string(), role: z.string(), timestamp: Time() })),
    /** Messages that were appended, archived ones included. */
    messageCount: Count(),
    /** Highest sequence given out; 0 where there is none. */
    sequence: Count(),
    createdAt: Time(),
    updatedAt: Time(),
    compactedAt: Time().optional(),
    repairedAt: Time().optional(),
  })

export type SessionInfo = z.output<ReturnType<typeof SessionInfo>>

export const RepairStats = () =>
  z.object({
    emptyRemoved: Count(),
    duplicatesRemoved: Count(),
    /** Neighbours of the same role, joined into one message. */
    consecutiveMerged: Count(),
    /** Tool results without their call, dropped. */
    orphanedRefs: Count(),
    reordered: Count(),
    /** Messages over 500,000 bytes, split. */
    oversizedDetected: Count(),
    /** Tool calls without a result, answered with an error. */
    callsAnswered: Count(),
    /** Tool calls of one answer that had the id of another one, given an id of their own. */
    sharedCallIds: Count(),
  })

export type RepairStats = z.output<ReturnType<typeof RepairStats>>
