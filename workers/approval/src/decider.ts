import { AgentError, type HandlerContext } from '@agentos/sdk'

/** What the engine says of a call. */
type Call = Pick<HandlerContext, 'functionId' | 'principal' | 'run'>

/**
 * Who decides, as it is written down. The owner; or a person whom a channel knows as an owner, where the channel says so of
 * its own accord: its own principal, which nothing has that it does for a guest, an agent or another worker, and not within
 * a run, so that no chat that it began decides anything. Throws `forbidden` for everybody else.
 */
export function deciderOf(
  { functionId, principal, run }: Call,
  person: { id: string } | undefined,
  channels: readonly string[],
): string {
  const { kind, id } = principal
  if (kind === 'owner' && !person) return `owner:${id}`
  if (kind === 'system' && person && run === undefined && channels.includes(id)) return `${id}:${person.id}`
  throw new AgentError(
    'forbidden',
    `${functionId} is for the owner: by the owner token, signed in on the page, or as a paired owner in a channel`,
  )
}
