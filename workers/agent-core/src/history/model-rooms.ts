/** How a chat names the model that it asks. */
export interface ModelPreference {
  provider?: string
  model?: string
}

/**
 * How much the models take that refused a conversation as too long: estimated tokens of a whole request, learned while
 * this process lives.
 */
export class ModelRooms {
  private readonly rooms = new Map<string, number>()
  private readonly most: number

  constructor(most = 1_000) {
    this.most = most
  }

  of(preference: ModelPreference): number | undefined {
    return this.rooms.get(keyOf(preference))
  }

  learn(preference: ModelPreference, room: number): void {
    const key = keyOf(preference)
    this.rooms.set(key, Math.min(room, this.rooms.get(key) ?? room))
    const [oldest] = this.rooms.keys()
    if (this.rooms.size > this.most && oldest !== undefined) this.rooms.delete(oldest)
  }
}

function keyOf({ provider, model }: ModelPreference): string {
  return JSON.stringify([provider ?? null, model ?? null])
}
