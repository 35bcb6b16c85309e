import type { sessionRepair, TranscriptMessage } from '@agentos/contracts/memory'
import { newId, type OutputOf, type ParsedInputOf } from '@agentos/sdk'
import { memoryScope } from './scopes.ts'
import type { Space } from './spaces.ts'
import { readHead, readMessages, recentRefs, withArchived, writeHead, writeMessages } from './transcript.ts'
import { findings, repaired } from './transcript-repair.ts'

/** The repaired copy goes above the old messages; the head then moves to it, and the old ones are archived. */
export async function repairSession(
  { sessionId, dryRun }: ParsedInputOf<typeof sessionRepair>,
  space: Space,
): Promise<OutputOf<typeof sessionRepair>> {
  return space.exclusive(`session ${sessionId}`, async () => {
    const { head, version } = await readHead(space, sessionId)
    const broken = head ? await readMessages(space, sessionId, head.first, head.sequence) : []
    const { messages, stats } = repaired(broken, () => newId('msg'))
    const detected = findings(stats)
    if (!head || dryRun || detected === 0) return { repaired: false, totalFixes: 0, detected, dryRun, stats }

    const copies = messages.map((message, i): TranscriptMessage => ({ ...message, sequence: head.sequence + 1 + i }))
    await writeMessages(space, sessionId, copies)
    const now = Date.now()
    const { archive, replaced } = withArchived(head.archive, { from: head.first, through: head.sequence })
    await writeHead(
      space,
      {
        ...head,
        first: head.sequence + 1,
        sequence: head.sequence + copies.length,
        messages: recentRefs(copies),
        archive,
        repairedAt: now,
        updatedAt: now,
      },
      version,
    )
    if (replaced !== undefined) await space.caller.state.delete(memoryScope(space.agentId), replaced)
    return { repaired: true, totalFixes: detected, detected, dryRun, stats }
  })
}
