-- `http-request lua.jotgate`: asks Jotgate whether a request may pass, and as whom. Refuses whatever is not a clear yes.

local VERIFY = "http://127.0.0.1:8080/auth/verify?redirect=1"
local LIMIT = 500 -- milliseconds; HAProxy tries four times

-- What Jotgate needs to know of the request; the body is never sent.
local ASKED = {
    "accept", "authorization", "cookie", "origin", "sec-fetch-dest", "sec-fetch-mode", "sec-fetch-site",
    "sec-websocket-key", "upgrade", "user-agent", "x-forwarded-for", "x-forwarded-proto", "x-requested-with",
}
local IDENTITY = {
    "x-auth-user", "x-auth-username", "x-auth-email", "x-auth-roles", "x-auth-scopes", "x-auth-session",
}
-- What of a refusal passes to the client.
local ANSWERED = { "location", "www-authenticate", "set-cookie", "content-type", "cache-control", "vary" }

-- HAProxy counts values from 0; its client wants them from 1.
local function values(list)
    local all = {}
    for i = 0, #list do
        all[#all + 1] = list[i]
    end
    return all
end

local function refuse(txn, status, headers, body)
    local reply = txn:reply({ status = status })
    for name, list in pairs(headers) do
        for _, value in ipairs(list) do
            reply:add_header(name, value)
        end
    end
    reply:set_body(body)
    txn:done(reply)
end

core.register_action("jotgate", { "http-req" }, function(txn)
    local sent = txn.http:req_get_headers()
    local headers = {
        ["x-forwarded-method"] = { txn.sf:method() },
        ["x-forwarded-uri"] = { txn.sf:pathq() },
        ["x-forwarded-host"] = sent["host"] and values(sent["host"]) or {},
    }
    for _, name in ipairs(ASKED) do
        if sent[name] then
            headers[name] = values(sent[name])
        end
    end
    local asked, answer = pcall(function()
        return core.httpclient():get({ url = VERIFY, headers = headers, timeout = LIMIT })
    end)
    local status = asked and answer and answer.status or 0
    local given = asked and answer and answer.headers or {}
    if status == 200 then
        for _, name in ipairs(IDENTITY) do
            if not given[name] then
                return refuse(txn, 503, {}, "")
            end
        end
        for _, name in ipairs(IDENTITY) do
            txn.http:req_set_header(name, values(given[name])[1])
        end
    elseif status == 302 or (status >= 400 and status < 500) then
        local kept = {}
        for _, name in ipairs(ANSWERED) do
            kept[name] = given[name] and values(given[name]) or nil
        end
        refuse(txn, status, kept, answer.body or "")
    else
        refuse(txn, 503, {}, "")
    end
end, 0)
