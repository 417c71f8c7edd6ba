-- Prosody (0.12 and later) authenticates with gatehouse-extauth.
--
--   gatehouse-extauth daemon --config /etc/gatehouse/extauth.yml --listen-lines /run/gatehouse-extauth/lines.sock
--
--   authentication = "gatehouse"
--   gatehouse_socket = "/run/gatehouse-extauth/lines.sock"
--   gatehouse_timeout = 10   -- seconds that a login waits at most
--
-- One connection for each host, any number of questions at once: a login never waits for another one's password hash, and
-- Prosody never waits for a login. A question is a line "ID op:user:host[:password]", its answer "ID 1", "ID 0" or
-- "ID unavailable". What could not be found out is no wrong password: such a login gets temporary-auth-failure.
--
-- The daemon has to know the password itself, so clients can use PLAIN only: require encryption.

local async = require "util.async";
local new_sasl = require "util.sasl".new;
local server = require "net.server";
local timer = require "util.timer";

local have_unix, unix = pcall(require, "socket.unix");
if have_unix and type(unix) == "function" then
	-- COMPAT LuaSocket before 3.0
	unix = { stream = unix };
end
if not have_unix or type(unix) ~= "table" then
	error("mod_auth_gatehouse needs LuaSocket with UNIX sockets");
end

local host = module.host;
local socket_path = module:get_option_string("gatehouse_socket", "/run/gatehouse-extauth/lines.sock");
local timeout = module:get_option_number("gatehouse_timeout", 10);
-- Where Prosody cannot go on meanwhile (prosodyctl) everything waits: for less time.
local blocking_timeout = math.min(timeout, 5);

-- More than that at once cannot be answered in time anyway.
local max_pending = 1000;
local max_line = 65535;
local unavailable = "the authentication service cannot be reached";

-- Only these may be asked again when the connection is lost: a change may have been made.
local is_question = { auth = true; isuser = true };

local connection;
local pending, pending_count = {}, 0;
local last_id = 0;

-- nil when it is no request: a line break would begin another one.
local function payload_of(op, username, password)
	local payload = op .. ":" .. username .. ":" .. host;
	if password then payload = payload .. ":" .. password; end
	if payload:find("[%z\r\n]") or #payload > max_line then return nil; end
	return payload;
end

local function settle(id, answer)
	local request = pending[id];
	if not request then return; end
	pending[id] = nil;
	pending_count = pending_count - 1;
	request.answer = answer;
	request.done();
end

local listeners = {};
local connected, send;

function listeners.onincoming(conn, data)
	local buffer = (conn.gatehouse_rest or "") .. data;
	local from = 1;
	for id, answer, next_line in buffer:gmatch("(%S+) (%S+)\n()") do
		from = next_line;
		settle(tonumber(id), answer);
	end
	conn.gatehouse_rest = buffer:sub(from);
	if #conn.gatehouse_rest > 1024 then conn:close(); end
end

function listeners.ondisconnect(conn)
	if conn ~= connection then return; end
	connection = nil;
	-- The daemon may have been started anew.
	local lost = {};
	for id in pairs(pending) do lost[#lost + 1] = id; end
	local is_there = #lost > 0 and connected();
	for _, id in ipairs(lost) do
		local request = pending[id];
		if request and is_there and request.may_repeat and send(id, request) then
			request.may_repeat = false;
		else
			settle(id, nil);
		end
	end
end

function listeners.onreadtimeout()
	-- It is quiet when nobody logs in.
	return true;
end

function connected()
	if connection then return connection; end
	local sock = unix.stream();
	sock:settimeout(0);
	local ok, err = sock:connect(socket_path);
	if not ok then
		module:log("error", "Cannot reach gatehouse-extauth at %s: %s", socket_path, err);
		sock:close();
		return nil;
	end
	connection = server.wrapclient(sock, socket_path, 0, listeners, "*a");
	return connection;
end

function send(id, request)
	local conn = connected();
	return conn and conn:write(("%d %s\n"):format(id, request.payload));
end

-- For callers that cannot wait any other way: a connection of its own.
local function ask_blocking(payload)
	local sock = unix.stream();
	sock:settimeout(blocking_timeout);
	local answer;
	if sock:connect(socket_path) and sock:send("1 " .. payload .. "\n") then
		local line = sock:receive("*l");
		answer = line and line:match("^1 (%S+)$");
	end
	sock:close();
	return answer;
end

-- true, false, or nil when it could not be found out.
local function ask(op, username, password)
	local payload = payload_of(op, username, password);
	if not payload then return false; end
	local answer;
	if not async.ready() then
		answer = ask_blocking(payload);
	elseif pending_count < max_pending then
		local wait, done = async.waiter();
		local request = { payload = payload; done = done; may_repeat = is_question[op] };
		last_id = last_id + 1;
		local id = last_id;
		pending[id] = request;
		pending_count = pending_count + 1;
		if send(id, request) then
			local timeout_task = timer.add_task(timeout, function () settle(id, nil); end);
			wait();
			timer.stop(timeout_task);
		else
			settle(id, nil);
		end
		answer = request.answer;
	end
	if answer == "1" then return true; end
	if answer == "0" then return false; end
	module:log("warn", "%s of %s@%s: %s", op, username, host, answer or unavailable);
	return nil;
end

-- Usermanager's way to say it: true, or nil and a reason.
local function said(answer, refusal)
	if answer then return true; end
	return nil, answer == nil and unavailable or refusal;
end

local provider = {};

function provider.test_password(username, password)
	return said(ask("auth", username, password), "Wrong username or password.");
end

function provider.user_exists(username)
	return said(ask("isuser", username), "There is no such account.");
end

function provider.set_password(username, password)
	return said(ask("setpass", username, password), "The password was not changed.");
end

function provider.create_user(username, password)
	local created = ask("tryregister", username, password);
	-- `prosodyctl passwd` looks whether there is the account, and then "creates" it; elsewhere nobody's account is taken over.
	if created == false and prosody.process_type == "prosodyctl" then
		created = ask("setpass", username, password);
	end
	return said(created, "The account was not created.");
end

function provider.delete_user(username)
	return said(ask("removeuser", username), "The account was not removed.");
end

function provider.get_sasl_handler()
	local unknown = false;
	local handler = new_sasl(host, {
		plain_test = function (_, username, password)
			local answer = ask("auth", username, password);
			unknown = answer == nil;
			return answer, true;
		end;
	});
	local process = handler.process;
	function handler:process(message)
		unknown = false;
		local status, condition, text = process(self, message);
		if status == "failure" and unknown then
			return "failure", "temporary-auth-failure", "The password could not be checked now, please try again later.";
		end
		return status, condition, text;
	end
	-- After a failed attempt the client may try again, with a handler that is like this one.
	function handler.clean_clone()
		return provider.get_sasl_handler();
	end
	return handler;
end

function module.unload()
	if connection then connection:close(); end
	for id in pairs(pending) do settle(id, nil); end
end

module:provides("auth", provider);
