/** A password from whoever is there: a terminal is asked, twice for a new one; else the first line of standard input. */
import type { Readable, Writable } from 'node:stream'

export interface Terminal {
  readonly stdin: Readable & { readonly isTTY?: boolean }
  readonly stderr: Writable & { readonly isTTY?: boolean }
}

const maxLine = 8192
/** How often two that are not the same may be typed. */
const maxTries = 3

/** Undefined when nobody gave one. */
export async function askPassword(
  terminal: Terminal,
  question: string,
  { twice }: { readonly twice: boolean } = { twice: true },
): Promise<Buffer | undefined> {
  const { stdin, stderr } = terminal
  if (!stdin.isTTY || !stderr.isTTY) return firstLine(stdin)
  const { createPromptModule } = (await import('inquirer')).default
  const prompt = createPromptModule({
    input: stdin as NodeJS.ReadStream,
    output: stderr as NodeJS.WriteStream,
  })
  const ask = async (message: string): Promise<string> => {
    const hidden = { type: 'password', name: 'typed', message, mask: '*', toggleMask: false } as const
    return (await prompt<{ typed: string }>([hidden])).typed
  }
  try {
    for (let tries = 0; tries < maxTries; tries++) {
      const password = await ask(question)
      if (password === '') return undefined
      if (!twice || (await ask('once more')) === password) return Buffer.from(password)
      stderr.write('These are not the same.\n')
    }
    return undefined
  } catch (error) {
    // End of input and Ctrl-C.
    if (error instanceof Error && error.name === 'ExitPromptError') return undefined
    throw error
  }
}

async function firstLine(stdin: Readable): Promise<Buffer | undefined> {
  let bytes = Buffer.alloc(0)
  for await (const chunk of stdin as AsyncIterable<Buffer>) {
    bytes = Buffer.concat([bytes, chunk])
    if (bytes.includes(0x0a) || bytes.length > maxLine) break
  }
  const end = bytes.indexOf(0x0a)
  const line = end === -1 ? bytes : bytes.subarray(0, end)
  const text = line.at(-1) === 0x0d ? line.subarray(0, -1) : line
  return text.length === 0 ? undefined : text
}
