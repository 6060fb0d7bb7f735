from demand_forecast.cli.commands import main

main()
