// Holds conversations through the vendors' Node clients, as told line by line on standard input.
//
// The lines and their answers are those of ../python/drive.py. What was said so far is kept as the
// client gave it and sent again as it is, which is what programs do. A stream goes through the
// client's own accumulator. Different talks go on side by side.
import { createInterface } from 'node:readline'
import Anthropic from '@anthropic-ai/sdk'
import { ApiError, GoogleGenAI } from '@google/genai'
import OpenAI from 'openai'

const timeout = 60_000

// The request with what it has besides, in the format's own words; tools are added to the others.
function withExtra(ask, { tools, ...extra } = {}) {
    return { ...ask, ...extra, ...(tools ? { tools: [...(ask.tools ?? []), ...tools] } : {}) }
}

function argumentsOf(text) {
    try {
        return JSON.parse(text)
    } catch {
        return text
    }
}

const failedText = (result) => (result.failed ? 'Error: ' : '') + result.text
const dataUrl = (image) => 'data:image/png;base64,' + image

class Chat {
    constructor(job) {
        this.client = new OpenAI({ baseURL: job.url + '/v1', apiKey: job.key, maxRetries: 0, timeout })
        this.said = job.system ? [{ role: 'system', content: job.system }] : []
        this.calls = []
        this.ask = { model: job.model }
        if (job.tools?.length)
            this.ask.tools = job.tools.map(({ name, about, schema }) => ({
                type: 'function',
                function: { name, description: about, parameters: schema },
            }))
        if (job.thinks) this.ask.reasoning_effort = 'low'
        if (job.cap) this.ask.max_completion_tokens = job.cap
        if (job.schema)
            this.ask.response_format = {
                type: 'json_schema',
                json_schema: { name: 'reply', schema: job.schema, strict: true },
            }
        this.ask = withExtra(this.ask, job.extra)
    }

    user(text, images, more) {
        if (!images.length && !more.length) return [{ role: 'user', content: text }]
        const parts = images.map((image) => ({ type: 'image_url', image_url: { url: dataUrl(image) } }))
        return [{ role: 'user', content: [{ type: 'text', text }, ...parts, ...more] }]
    }

    results(results) {
        return this.calls.map((call, k) => ({
            role: 'tool',
            tool_call_id: call.id,
            content: results[k].parts ?? failedText(results[k]),
        }))
    }

    async step(fresh, stream) {
        const ask = { ...this.ask, messages: [...this.said, ...fresh] }
        const whole = stream
            ? await this.client.chat.completions
                  .stream({ ...ask, stream_options: { include_usage: true } })
                  .finalChatCompletion()
            : await this.client.chat.completions.create(ask)
        const { message, finish_reason: finish } = whole.choices[0]
        this.said.push(...fresh, sendable(message))
        this.calls = message.tool_calls ?? []
        return {
            text: message.content ?? '',
            refusal: message.refusal ?? '',
            thought: message.reasoning_content ?? '',
            calls: this.calls.map((call) =>
                call.type === 'custom'
                    ? [call.custom.name, call.custom.input]
                    : [call.function.name, argumentsOf(call.function.arguments)],
            ),
            whole,
            finish,
            usage: whole.usage,
        }
    }
}

class Responses {
    constructor(job) {
        this.client = new OpenAI({ baseURL: job.url + '/v1', apiKey: job.key, maxRetries: 0, timeout })
        this.said = []
        this.calls = []
        this.ask = { model: job.model, store: false }
        if (job.system) this.ask.instructions = job.system
        if (job.tools?.length)
            this.ask.tools = job.tools.map(({ name, about, schema }) => ({
                type: 'function',
                name,
                description: about,
                parameters: schema,
                strict: false,
            }))
        if (job.thinks) {
            this.ask.reasoning = { effort: 'low', summary: 'auto' }
            this.ask.include = ['reasoning.encrypted_content']
        }
        if (job.cap) this.ask.max_output_tokens = job.cap
        if (job.schema)
            this.ask.text = {
                format: { type: 'json_schema', name: 'reply', schema: job.schema, strict: true },
            }
        this.ask = withExtra(this.ask, job.extra)
    }

    user(text, images, more) {
        if (!images.length && !more.length) return [{ role: 'user', content: text }]
        const parts = images.map((image) => ({
            type: 'input_image',
            image_url: dataUrl(image),
            detail: 'auto',
        }))
        return [{ role: 'user', content: [{ type: 'input_text', text }, ...parts, ...more] }]
    }

    results(results) {
        return this.calls.map(({ type, call_id }, k) =>
            type === 'tool_search_call'
                ? { type: 'tool_search_output', call_id, execution: 'client', tools: results[k].parts }
                : { type: type + '_output', call_id, output: results[k].parts ?? failedText(results[k]) },
        )
    }

    async step(fresh, stream) {
        const ask = { ...this.ask, input: [...this.said, ...fresh] }
        const whole = stream
            ? await this.client.responses.stream(ask).finalResponse()
            : await this.client.responses.create(ask)
        if (whole.error) throw new Error(`the response failed: ${whole.error.code}`)
        this.said.push(...fresh, ...whole.output.map(sendable))
        this.calls = whole.output.filter((item) =>
            ['function_call', 'custom_tool_call', 'tool_search_call'].includes(item.type),
        )
        const parts = whole.output.flatMap((item) => (item.type === 'message' ? item.content : []))
        const thoughts = whole.output.flatMap((item) => (item.type === 'reasoning' ? item.summary : []))
        return {
            text: parts.map((part) => part.text ?? '').join(''),
            refusal: parts.map((part) => part.refusal ?? '').join(''),
            thought: thoughts.map((part) => part.text).join(''),
            calls: this.calls.map(({ type, name, input, arguments: args }) => {
                if (type === 'tool_search_call') return ['tool_search', args]
                return [name, type === 'custom_tool_call' ? input : argumentsOf(args)]
            }),
            whole,
            finish: whole.incomplete_details?.reason ?? whole.status,
            usage: whole.usage,
        }
    }
}

// The stream helpers add keys of their own, which the vendor refuses when they come back.
const withoutParsed = ({ parsed: _, parsed_arguments: __, ...kept }) => kept

function sendable(item) {
    const kept = withoutParsed(item)
    if (Array.isArray(kept.content)) kept.content = kept.content.map(withoutParsed)
    if (kept.tool_calls)
        kept.tool_calls = kept.tool_calls.map((call) => ({
            ...call,
            ...(call.function ? { function: withoutParsed(call.function) } : {}),
        }))
    return kept
}

class Messages {
    constructor(job) {
        this.client = new Anthropic({ baseURL: job.url, apiKey: job.key, maxRetries: 0, timeout })
        this.said = []
        this.calls = []
        this.ask = { model: job.model, max_tokens: job.cap ?? 8000 }
        if (job.system) this.ask.system = job.system
        if (job.tools?.length)
            this.ask.tools = job.tools.map(({ name, about, schema }) => ({
                name,
                description: about,
                input_schema: schema,
            }))
        if (job.thinks) this.ask.thinking = { type: 'enabled', budget_tokens: 2048 }
        if (job.schema) this.ask.output_config = { format: { type: 'json_schema', schema: job.schema } }
        this.ask = withExtra(this.ask, job.extra)
    }

    user(text, images, more) {
        const parts = images.map((data) => ({
            type: 'image',
            source: { type: 'base64', media_type: 'image/png', data },
        }))
        return [{ role: 'user', content: [...parts, ...more, { type: 'text', text }] }]
    }

    results(results) {
        const content = this.calls.map((call, k) => ({
            type: 'tool_result',
            tool_use_id: call.id,
            content: results[k].parts ?? results[k].text,
            is_error: results[k].failed,
        }))
        return [{ role: 'user', content }]
    }

    async step(fresh, stream) {
        const ask = { ...this.ask, messages: [...this.said, ...fresh] }
        const whole = stream
            ? await this.client.messages.stream(ask).finalMessage()
            : await this.client.messages.create(ask)
        this.said.push(...fresh, { role: 'assistant', content: whole.content })
        this.calls = whole.content.filter((block) => block.type === 'tool_use')
        const joined = (type, key) =>
            whole.content.map((block) => (block.type === type ? block[key] : '')).join('')
        return {
            text: joined('text', 'text'),
            refusal: '',
            thought: joined('thinking', 'thinking'),
            calls: this.calls.map((call) => [call.name, call.input]),
            whole,
            finish: whole.stop_reason,
            usage: whole.usage,
        }
    }
}

class Gemini {
    constructor(job) {
        const httpOptions = { baseUrl: job.url, timeout, apiVersion: 'v1beta' }
        const config = {}
        if (job.system) config.systemInstruction = job.system
        if (job.tools?.length) {
            const functionDeclarations = job.tools.map(({ name, about, schema }) => ({
                name,
                description: about,
                parametersJsonSchema: schema,
            }))
            config.tools = [{ functionDeclarations }]
        }
        if (job.thinks) config.thinkingConfig = { includeThoughts: true, thinkingBudget: 2048 }
        if (job.cap) config.maxOutputTokens = job.cap
        if (job.schema) {
            config.responseMimeType = 'application/json'
            config.responseJsonSchema = job.schema
        }
        this.client = new GoogleGenAI({ apiKey: job.key, httpOptions })
        this.chat = this.client.chats.create({ model: job.model, config: withExtra(config, job.extra) })
        this.calls = []
    }

    user(text, images, more) {
        const parts = images.map((data) => ({ inlineData: { mimeType: 'image/png', data } }))
        return [...parts, ...more, { text }]
    }

    results(results) {
        return this.calls.map(({ name, id }, k) => ({
            functionResponse: {
                name,
                ...(id ? { id } : {}),
                response: { [results[k].failed ? 'error' : 'output']: results[k].text },
                ...(results[k].parts ? { parts: results[k].parts } : {}),
            },
        }))
    }

    async step(fresh, stream) {
        const chunks = []
        if (stream)
            for await (const chunk of await this.chat.sendMessageStream({ message: fresh }))
                chunks.push(chunk)
        else chunks.push(await this.chat.sendMessage({ message: fresh }))
        const candidates = chunks.flatMap((chunk) => chunk.candidates ?? [])
        const parts = candidates.flatMap((candidate) => candidate.content?.parts ?? [])
        this.calls = parts.flatMap((part) => part.functionCall ?? [])
        const joined = (thought) =>
            parts.map((part) => (!!part.thought === thought ? (part.text ?? '') : '')).join('')
        return {
            text: joined(false),
            refusal: '',
            thought: joined(true),
            calls: this.calls.map((call) => [call.name, call.args ?? {}]),
            whole: chunks,
            finish: candidates.findLast((candidate) => candidate.finishReason)?.finishReason ?? null,
            kept: this.chat.getHistory().length === this.chat.getHistory(true).length,
            usage: chunks.at(-1).usageMetadata,
        }
    }
}

const kinds = { openai: Chat, responses: Responses, anthropic: Messages, gemini: Gemini }
const talks = new Map()

async function act(job) {
    if (job.do === 'close') return talks.delete(job.talk) && {}
    if (job.do === 'open') {
        talks.set(job.talk, { kind: new kinds[job.format](job), shows: job.whole })
        return {}
    }
    const { kind, shows } = talks.get(job.talk)
    const fresh =
        'user' in job ? kind.user(job.user, job.images ?? [], job.parts ?? []) : kind.results(job.results)
    const { whole, ...answer } = await kind.step(fresh, job.stream)
    return shows ? { ...answer, whole } : answer
}

function failure(error) {
    const vendors = [OpenAI.APIError, Anthropic.APIError, ApiError].some((cls) => error instanceof cls)
    return {
        class: error.constructor.name,
        message: String(error.message).slice(0, 2000),
        code: typeof error.code === 'string' ? error.code : null,
        status: Number.isInteger(error.status) ? error.status : null,
        vendors,
    }
}

for await (const line of createInterface({ input: process.stdin })) {
    const job = JSON.parse(line)
    act(job).then(
        (answer) => console.log(JSON.stringify({ id: job.id, answer })),
        (error) => console.log(JSON.stringify({ id: job.id, error: failure(error) })),
    )
}
