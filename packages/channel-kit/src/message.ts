/** A person of the service. */
export interface Sender {
  id: string
  name: string
}

/** Whose words something is: `bot`: ours; `sender`: theirs who wrote the message; else a name, where there is one. */
export type Author = 'bot' | 'sender' | { name: string | undefined }

/** What a message answers, as much of it as its writer chose to show. */
export interface Quote {
  text: string
  by: Author
}

/** What somebody wrote, in no service's words. */
export interface Message {
  /** The service's id of the event: when it comes again, it comes with this one. At most 40 letters and digits. */
  eventId: string
  /** Where it was written, and the answer goes; a thread is a conversation of its own. */
  conversation: string
  /** Rises within a conversation. */
  place: number
  sender: Sender
  /** Nobody else reads along. */
  direct: boolean
  /** As it was written, without the mention of the bot. */
  text: string
  /** Whose words the text is, where its sender passed it on from elsewhere: it is told as a quote, and is no command. */
  forwarded?: Author
  /** What came along that the agent does not get, in words: `a photo`. */
  unusable: string[]
  /** The message that it answers, where that holds words. */
  quote?: Quote
  /** The message that an answer refers to, where others write too. */
  replyTo?: string
}

/** A press of a button below a message. */
export interface Press {
  eventId: string
  conversation: string
  sender: Sender
  /** The message with the button. */
  messageId: string
  entryId: string
  /** The number of the button, from 0. */
  button: number
}

export interface Command {
  name: string
  argument: string
}

/** `/agent support` and the like; what does not begin with a command is a message. */
export function readCommand(text: string): Command | undefined {
  const found = /^\/([a-z][a-z0-9_]{0,31})(?:\s+([\s\S]*))?$/i.exec(text.trim())
  return found ? { name: found[1]!.toLowerCase(), argument: (found[2] ?? '').trim() } : undefined
}
