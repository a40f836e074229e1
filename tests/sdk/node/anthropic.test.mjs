// The Anthropic client: messages, token counts, models.
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import Anthropic from '@anthropic-ai/sdk'
import { all, anthropic, broken, contract, faults, key, models, notAKey } from './gateway.mjs'

const client = anthropic()
const hello = {
    model: models.messages,
    max_tokens: 64,
    messages: [{ role: 'user', content: 'Say hello.' }],
}
const weather = {
    name: contract.tool,
    description: 'The weather in a city.',
    input_schema: { type: 'object', properties: { city: { type: 'string' } } },
}

suite('messages', () => {
    test('whole', async () => {
        const answer = await client.messages.create(hello)
        assert.deepEqual([answer.type, answer.stop_reason], ['message', 'end_turn'])
        assert.ok(answer.content[0].text)
        assert.ok(answer.usage.input_tokens > 0 && answer.usage.output_tokens > 0)
    })

    test('streamed', async () => {
        const events = await all(client.messages.create({ ...hello, stream: true }))
        assert.equal(events[0].type, 'message_start')
        assert.equal(events.at(-1).type, 'message_stop')
        const delta = events.find((event) => event.type === 'message_delta')
        assert.equal(delta.delta.stop_reason, 'end_turn')
        assert.ok(delta.usage.output_tokens > 0)
    })

    test('stream helper says the same as whole', async () => {
        const final = await client.messages.stream(hello).finalMessage()
        const whole = await client.messages.create(hello)
        assert.equal(final.content[0].text, whole.content[0].text)
    })

    test('tool use, whole and streamed', async () => {
        const ask = { ...hello, model: models.tool_caller, tools: [weather] }
        for (const answer of [
            await client.messages.create(ask),
            await client.messages.stream(ask).finalMessage(),
        ]) {
            const block = answer.content.find((part) => part.type === 'tool_use')
            assert.equal(answer.stop_reason, 'tool_use')
            assert.equal(block.name, contract.tool)
            assert.equal(typeof block.input, 'object')
        }
    })

    test('beta route', async () => {
        const betas = ['interleaved-thinking-2025-05-14']
        const answer = await client.beta.messages.create({ ...hello, betas })
        assert.ok(answer.content[0].text)
    })

    test('count tokens', async () => {
        const { model, messages } = hello
        assert.ok((await client.messages.countTokens({ model, messages })).input_tokens > 0)
    })

    test('count tokens of another vendor', async () => {
        for (const model of [models.chat, models.gemini]) {
            const asked = client.messages.countTokens({ model, messages: hello.messages, tools: [weather] })
            const { data, response } = await asked.withResponse()
            assert.equal(response.headers.get('x-penstock-estimated'), 'true')
            assert.ok(data.input_tokens > 0)
        }
    })
})

suite('models', () => {
    test('list and get', async () => {
        const listed = await all(client.models.list())
        const model = listed.find((item) => item.id === models.messages)
        assert.equal(model.type, 'model')
        assert.equal((await client.models.retrieve(models.messages)).id, models.messages)
    })

    test('an unknown one', async () => {
        await assert.rejects(client.models.retrieve(models.unknown), Anthropic.NotFoundError)
    })
})

suite('base URLs and keys', () => {
    for (const prefix of ['', '/anthropic', '/claude', '/api', '/v1']) {
        test(prefix || '(none)', async () => {
            assert.ok((await anthropic({ prefix }).messages.create(hello)).content[0].text)
        })
    }

    test('auth token', async () => {
        const bearer = anthropic({ apiKey: null, authToken: key })
        assert.ok((await bearer.messages.create(hello)).content[0].text)
    })
})

suite('errors', () => {
    const ofType = (cls, type) => (error) => error instanceof cls && error.error?.error?.type === type

    test('bad key', async () => {
        const ask = anthropic({ apiKey: notAKey }).messages.create(hello)
        await assert.rejects(ask, ofType(Anthropic.AuthenticationError, 'authentication_error'))
    })

    for (const stream of [false, true]) {
        test(`unknown model, ${stream ? 'streamed' : 'whole'}`, async () => {
            const ask = client.messages.create({ ...hello, model: models.unknown, stream })
            await assert.rejects(ask, ofType(Anthropic.NotFoundError, 'not_found_error'))
        })
    }

    test('rate limit', async () => {
        const ask = client.messages.create({ ...hello, model: faults.rate_limit })
        await assert.rejects(ask, ofType(Anthropic.RateLimitError, 'rate_limit_error'))
    })

    test('overloaded', async () => {
        await assert.rejects(
            client.messages.create({ ...hello, model: faults.overloaded.anthropic }),
            (error) => error.status === 529 && error.error.error.type === 'overloaded_error',
        )
    })

    test('an error before any content is a status', async () => {
        await assert.rejects(
            client.messages.create({ ...hello, model: faults.early_error, stream: true }),
            (error) => error.status === 529 && error.error.error.type === 'overloaded_error',
        )
    })

    test('a stop reason ends an answer without its last event', async () => {
        const ask = { ...hello, model: faults.no_end, stream: true }
        const last = (await all(client.messages.create(ask))).at(-1)
        assert.deepEqual([last.type, last.delta.stop_reason], ['message_delta', 'end_turn'])
    })

    for (const fault of ['error_event', 'cut', 'reset']) {
        test(`a stream that breaks is an error, not an end: ${fault}`, async () => {
            const { seen, error } = await broken(() =>
                client.messages.create({ ...hello, model: faults[fault], stream: true }),
            )
            assert.ok(error instanceof Anthropic.APIError, String(error))
            assert.ok(seen.length > 0 && !seen.some((event) => event.type === 'message_stop'))
        })
    }
})
