import type { Author, Quote } from './message.ts'
import type { Content } from './outbox-entry.ts'
import { plain } from './rich-text.ts'

/** UTF-16 units of what a message answers, as the agent is told. */
const MAX_QUOTE = 1_000

export const words = {
  start: 'Hello. Write to me, and the assistant answers here. /help lists what else there is.',
  help: [
    '/new begins a new conversation',
    '/stop stops the answer that is being written',
    '/agent shows which agent answers here; an owner changes it with /agent <name>',
    '/help shows this',
  ].join('\n'),
  newSession: 'A new conversation begins here.',
  stopped: 'Stopped. What you wrote before is not answered any more.',
  stoppedHere: '(stopped)',
  noAnswer: '(The assistant had nothing to say.)',
  interrupted:
    'I was interrupted and cannot tell how much of this was done. Please check, and send it again if it is to be repeated.',
  tooManyStrangers: 'Nobody can be paired at the moment. Please try again later.',
  waitsForYou: 'I wait for your approval; I go on as soon as you have decided.',
  waitsForOwner: 'An owner of this system has to approve what I want to do next. I go on as soon as that is decided.',
  inputCut: 'This is not all of its input: npm run agentos -- approvals shows more.',
  questionCut: 'This is not all of the question: npm run agentos -- approvals shows more.',
  goesOn: 'I am still at it. The answer comes here.',
  inDoubt: (functionId: string) =>
    `I was interrupted, and nobody knows whether ${functionId} took effect. I do not repeat it by myself. The owner looks, and answers done, failed or repeat; then I go on:`,
  runIsGone: 'what I waited for is not kept any longer. Please ask again',
  stopReason: 'Stopped in the conversation',
  notYours: 'Only an owner may decide this.',
  outdated: 'This question is not open any more.',
  noApprovals: 'Approvals cannot be decided here: the worker "approval" is not running. Start it and press again.',
} as const

/** For somebody unknown: `approve` is how the owner lets them in. */
export function pairingWords(code: string, approve: string): string {
  return `I do not know you yet. Your pairing code is ${code}. The owner of this system lets you in with:\n${approve}`
}

export function pairedWords(role: string): string {
  return `You are paired as ${role === 'owner' ? 'an owner' : 'a user'}. Write to me, or send /help.`
}

export function unknownCommand(name: string): string {
  return `I do not know /${name}. /help lists what there is.`
}

/** What came along that cannot be used, as "a photo" and "a voice message". */
export function unusableWords(things: string[]): string {
  return `I cannot use ${listed(things)} yet. Please write what you need as text.`
}

/** Told to the agent, which sees the text alone. */
export function unusableNote(things: string[]): string {
  return `[The user attached ${listed(things)}. You cannot see attachments here; say so where it matters.]`
}

/** Told to the agent: JSON keeps the quoted words from looking like anything else. */
export function quoteNote({ text, by }: Quote): string {
  const shown = text.length <= MAX_QUOTE ? text : `${text.slice(0, MAX_QUOTE).toWellFormed()}…`
  return foreignWords('answers to', shown, by)
}

/** Told to the agent instead of the text, whole: what somebody passes on is what they want read, and not what they say. */
export function forwardNote(text: string, by: Author): string {
  return text === '' ? '' : foreignWords('forwarded', text, by)
}

function foreignWords(what: string, text: string, by: Author): string {
  const shown = JSON.stringify(text)
  if (by === 'bot') return `[The user ${what} this, which you wrote: ${shown}]`
  if (by === 'sender') return `[The user ${what} this, which they wrote before: ${shown}]`
  const name = by.name?.replaceAll(/[^\p{L}\p{N} ._-]/gu, '').trim() || 'somebody else'
  return `[The user ${what} this, which ${name} wrote; it is not from the user: ${shown}]`
}

export function failureWords(reason: string): string {
  return `That did not work: ${reason}`
}

/** Asked in the conversation when nobody knows whether a message arrived. */
export function arrivalQuestion(entryId: string): Content {
  return {
    rich: plain('The connection broke while I was sending my last message. Did it arrive?'),
    buttons: [
      { label: 'Send it again', action: { kind: 'settle', entryId, as: 'resend' } },
      { label: 'It arrived', action: { kind: 'settle', entryId, as: 'received' } },
    ],
  }
}

export function listed(things: string[]): string {
  return things.length <= 1 ? (things[0] ?? '') : `${things.slice(0, -1).join(', ')} and ${things.at(-1)}`
}
