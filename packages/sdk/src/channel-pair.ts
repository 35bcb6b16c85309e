import type { ChannelRef } from '@agentos/protocol'
import type { Channel, TriggerRequest } from './api.ts'
import { ChannelReader, ChannelWriter } from './channel.ts'

/** Has the engine create a channel and opens both ends, lazily: neither is attached before it is used. */
export async function openChannel(
  address: string,
  bufferSize: number | undefined,
  trigger: (request: TriggerRequest) => Promise<unknown>,
): Promise<Channel> {
  const payload = bufferSize === undefined ? {} : { buffer_size: bufferSize }
  const refs = (await trigger({ function_id: 'engine::channels::create', payload })) as {
    writer: ChannelRef
    reader: ChannelRef
  }
  return {
    writer: new ChannelWriter(address, refs.writer),
    reader: new ChannelReader(address, refs.reader),
    writerRef: refs.writer,
    readerRef: refs.reader,
  }
}
