import type { Part, ReasoningPart } from '@agentos/contracts/llm-router'
import { addTurn, type Turn } from './conversation.ts'

/** What an API demands of a history beyond what `conversationOf` makes sure of. */
export interface Demands {
  /** Reasoning that goes back to it; all other is left out. */
  takes: (part: ReasoningPart) => boolean
  /** Reasoning leads directly to what was said or called; one that leads to another is left out. */
  leads?: boolean
  /** The user speaks first. */
  userFirst?: boolean
  /** Who speaks last: the user, or anybody, without white space at the end of what an assistant said. */
  last?: 'user' | 'trimmed'
}

const BEFORE = '(What was said before this is not shown.)'
const GO_ON = 'Continue.'

/**
 * The turns of a conversation as an API takes them: roles take turns (names of one role may), no turn is empty, no reasoning stands at the end of
 * one, and the user begins and ends where that is demanded. Nothing that was said, called or answered is left out.
 */
export function validTurns(turns: readonly Turn[], demands: Demands): Turn[] {
  const valid: Turn[] = []
  for (const { role, parts, name } of turns) {
    addTurn(valid, role, role === 'assistant' ? withReasons(parts, demands) : parts, name)
  }
  if (demands.userFirst && valid[0]?.role === 'assistant') valid.unshift(userSays(BEFORE))
  const last = valid.at(-1)
  if (last?.role === 'assistant') {
    if (demands.last === 'user') valid.push(userSays(GO_ON))
    else if (demands.last === 'trimmed') last.parts = trimmed(last.parts)
  }
  return valid
}

function withReasons(parts: readonly Part[], { takes, leads }: Demands): Part[] {
  const taken = parts.filter((part) => part.type !== 'reasoning' || takes(part))
  const end = taken.findLastIndex((part) => part.type !== 'reasoning')
  return taken.filter((part, at) => {
    if (part.type !== 'reasoning') return true
    return at < end && !(leads && taken[at + 1]?.type === 'reasoning')
  })
}

function trimmed(parts: readonly Part[]): Part[] {
  const last = parts.at(-1)
  return last?.type === 'text' ? [...parts.slice(0, -1), { ...last, text: last.text.trimEnd() }] : [...parts]
}

function userSays(text: string): Turn {
  return { role: 'user', parts: [{ type: 'text', text }] }
}
